"""io.safetensors on files from strangers: what must be refused, why, how fast, and what must not.

The reference library (safetensors, of the `test` extra) is the oracle: we accept what it accepts
and refuse what it refuses, but for two rules of the format that it does not enforce, and that
STRICTER lists: no duplicate keys, and "{" comes first. The environment variable
FORWARDPASS_FUZZ_FILES sets how many mutated files are compared with it (default 5000).
"""

from __future__ import annotations

import json
import os
import random
import re
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forwardpass.io.safetensors import load_file, load_metadata, read_header

FUZZ_FILES = int(os.environ.get("FORWARDPASS_FUZZ_FILES", "5000"))
DATA = bytes(4)  # of the one tensor that most cases have


def pack(header: str | bytes, data: bytes = DATA, length: int | None = None) -> bytes:
    """A file, whatever its header says; `length` is a lie about the header's."""
    raw = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def w(
    dtype: str = '"F32"', shape: str = "[1]", at: str = "[0,4]", more: str = "", name: str = '"w"'
) -> str:
    """A header with one tensor, from pieces of JSON."""
    return f'{{{name}:{{"dtype":{dtype},"shape":{shape},"data_offsets":{at}{more}}}}}'


def two(first: str, second: str) -> str:
    """A header with two float32 tensors of one element each, at these offsets."""
    return "{" + w(at=first, name='"a"')[1:-1] + "," + w(at=second, name='"b"')[1:]


# id: (file, what the error says)
NOT_OUR_FILES = {
    "empty": (b"", "not a safetensors file: it has 0 bytes"),
    "7 bytes": (bytes(7), "it has 7 bytes, fewer than 8"),
    "8 zeros": (bytes(8), "does not start with '{'"),
    "length over the limit": (pack("{}", b"", 100_000_001), "100000001 bytes, is beyond 100000000"),
    "length 2^64-1": (pack("{}", b"", 2**64 - 1), "18446744073709551615 bytes, is beyond"),
    "length past the end": (pack("{}", b"", 3), "truncated: the header has 3 bytes, but 2 follow"),
    "length too small": (pack(w(), DATA, 20), "not valid JSON"),
    "length with the data": (pack(w(), DATA, len(w()) + 4), "not valid JSON: Extra data"),
    "zip": (b"PK\x03\x04" + bytes(60), r"looks like a torch checkpoint.*torch\.save_file"),
    "pickle": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j" + bytes(60), "looks like a torch checkpoint"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
}
# id: (header, what the error says), with four bytes of data
BAD_JSON = {
    "no object": ("[]", "does not start with '{'"),
    "byte order mark": ("\ufeff" + w(), "does not start with '{'"),
    "leading space": (" " + w(), "does not start with '{'"),
    "trailing NUL": (w() + "\0", "not valid JSON: Extra data"),
    "two objects": (w() + "{}", "not valid JSON: Extra data"),
    "unterminated": ('{"w', "not valid JSON: Unterminated"),
    "trailing comma": (w()[:-1] + ",}", "not valid JSON"),
    "comment": ("{/**/}", "not valid JSON"),
    "leading zero": (w(shape="[01]"), "not valid JSON"),
    "plus sign": (w(shape="[+1]"), "not valid JSON"),
    "control character": (w(name='"\n"'), "not valid JSON: Invalid control character"),
    "NaN": (w(more=',"x":NaN'), "number out of range: 'NaN'"),
    "-Infinity": (w(more=',"x":[-Infinity]'), "number out of range: '-Infinity'"),
    "1e400": (w(more=',"x":1e400'), "number out of range: '1e400'"),
    "400 digits": (w(more=',"x":-' + "1" * 400), "number out of range: '-1111"),
    "half a surrogate pair": (w(name=r'"\ud800"'), "not valid UTF-8"),
    "its other half": (w(more=r',"x":["\uDC00"]'), "not valid UTF-8"),
    "half in the metadata": (r'{"__metadata__":{"a":"\ud800"}}', "not valid UTF-8"),
    "deep": (w(more=',"x":' + "[" * 126 + "]" * 126), "tensor 'w': its entry is nested too"),
    "deep objects": (w(more=',"x":' + '{"a":' * 126 + "1" + "}" * 126), "'w': its entry is nested"),
    "very deep": (w(more=',"x":' + "[" * 50_000 + "]" * 50_000), "header is nested too deeply"),
    "unclosed depth": ('{"w":' + "[" * 50_000, "header is nested too deeply"),
    "tensor twice": (w()[:-1] + "," + w()[1:], "the key 'w' twice"),
    "field twice": (w(more=',"dtype":"F32"'), "the key 'dtype' twice"),
    "unknown field twice": (w(more=',"x":1,"x":1'), "the key 'x' twice"),
    "twice further down": (w(more=',"x":[{"y":1,"y":1}]'), "the key 'y' twice"),
    "twice by escape": (w(more=r',"__metadata__":{"a":"1","\u0061":"2"}'), "the key 'a' twice"),
    "metadata twice": ('{"__metadata__":{},"__metadata__":{}}', "the key '__metadata__' twice"),
    "metadata list": ('{"__metadata__":[]}', "__metadata__ must map strings to strings"),
    "metadata number": ('{"__metadata__":{"a":1}}', "__metadata__ must map strings to strings"),
    "metadata null": ('{"__metadata__":{"a":null}}', "__metadata__ must map strings to strings"),
    "tensor as metadata": (w(name='"__metadata__"'), "__metadata__ must map strings to strings"),
}
# id: (header, what the error says after "tensor 'w': ")
BAD_ENTRIES = {
    "null": ('{"w":null}', "its entry must be an object"),
    "text": ('{"w":"dtypeshapedata_offsets"}', "its entry must be an object"),
    "field missing": ('{"w":{"dtype":"F32","shape":[1]}}', "its entry must be an object"),
    "two values": ('{"w":["F32",[1]]}', "its entry must be an object"),
    "four values": ('{"w":["F32",[1],[0,4],0]}', "its entry must be an object"),
    "dtype unknown": (w('"F33"'), "unknown dtype 'F33'"),
    "dtype in lower case": (w('"f32"'), "unknown dtype 'f32'"),
    "dtype number": (w("32"), "unknown dtype 32"),
    "dtype list": (w('["F32"]'), r"unknown dtype \['F32'\]"),
    "dtype object": (w('{"F32":0}'), "unknown dtype {'F32': 0}"),
    "two dtypes": (w('{"F32":null,"F16":null}'), "unknown dtype {"),
    "shape float": (w(shape="[1.0]"), r"shape must be a list of counts, got \[1.0\]"),
    "shape exponent": (w(shape="[1e0]"), "shape must be a list of counts"),
    "shape bool": (w(shape="[true]"), "shape must be a list of counts"),
    "shape text": (w(shape='["1"]'), "shape must be a list of counts"),
    "shape nested": (w(shape="[[1]]"), "shape must be a list of counts"),
    "shape null": (w(shape="null"), "shape must be a list of counts"),
    "shape number": (w(shape="1"), "shape must be a list of counts"),
    "shape negative": (w(shape="[-1,-1]"), "shape must be a list of counts"),
    "shape -0": (w(shape="[-0]", at="[0,0]"), "shape must be a list of counts"),
    "shape 2^64": (w(shape=f"[0,{2**64}]", at="[0,0]"), "shape must be a list of counts"),
    "shape overflows": (w(shape=f"[{2**62}]"), r"the size of shape \[4611686018427387904\] over"),
    "shape wraps to 0": (w(shape=f"[{2**32},{2**32}]", at="[0,0]"), "the size of shape .* over"),
    "shape wraps to 1": (w('"U8"', f"[{2**32 + 1},{2**32 - 1},{2**63 + 1}]"), "the size of shape"),
    "overflow, then 0": (w(shape=f"[{2**63},2,0]", at="[0,0]"), "the size of shape .* overflows"),
    "shape too large": (w(shape="[2]"), r"F32 of shape \[2\] takes 8 bytes, but data_offsets span"),
    "shape too small": (w('"U8"', "[3]"), r"U8 of shape \[3\] takes 3 bytes, but .* span 4"),
    "half a byte": (w('"F4"', "[7]"), r"shape \[7\] ends within a byte"),
    "offsets float": (w(at="[0,4.0]"), r"data_offsets must be \[begin, end\], got \[0, 4.0\]"),
    "offsets bool": (w('"U8"', at="[false,true]"), "data_offsets must be"),
    "offsets negative": (w(at="[-4,0]"), "data_offsets must be"),
    "offsets reversed": (w(at="[4,0]"), "data_offsets must be"),
    "one offset": (w(at="[0]"), "data_offsets must be"),
    "three offsets": (w(at="[0,4,4]"), "data_offsets must be"),
    "offsets null": (w(at="null"), "data_offsets must be"),
    "offsets 2^64": (w(at=f"[{2**64 - 4},{2**64}]"), "data_offsets must be"),
}
# id: (header, data, what the error says)
BAD_LAYOUTS = {
    "data cut": (w(), bytes(3), "tensor 'w': truncated: 1 of its bytes are missing"),
    "no data": (w(), b"", "tensor 'w': truncated: 4 of its bytes are missing"),
    "2^60 bytes": (w('"U8"', f"[{2**60}]", f"[0,{2**60}]"), DATA, "tensor 'w': truncated"),
    "shifted": (w(at="[4,8]"), bytes(8), "tensor 'w': the 4 bytes before it belong to no tensor"),
    "far away": (w(at=f"[{2**64 - 5},{2**64 - 1}]"), DATA, "'w': the 18446744073709551611 bytes"),
    "overlap": (two("[0,4]", "[2,6]"), bytes(6), "tensor 'b': its data_offsets overlap another"),
    "same place": (two("[0,4]", "[0,4]"), DATA, "its data_offsets overlap another"),
    "hole": (two("[0,4]", "[5,9]"), bytes(9), "tensor 'b': the 1 bytes before it belong to no"),
    "trailing byte": (w(), bytes(5), "the last 1 bytes belong to no tensor"),
    "no tensor": ("{}", DATA, "the last 4 bytes belong to no tensor"),
}
NOT_UTF8 = {
    "stray byte": (pack(b'{"\xff":1}'), "not valid UTF-8"),
    "overlong": (pack(b'{"\xc0\x80":1}'), "not valid UTF-8"),
    "surrogate": (pack(b'{"\xed\xa0\x80":1}'), "not valid UTF-8"),
}
REFUSED = {
    **{f"file: {key}": case for key, case in (NOT_OUR_FILES | NOT_UTF8).items()},
    **{f"JSON: {key}": (pack(head), match) for key, (head, match) in BAD_JSON.items()},
    **{f"entry: {k}": (pack(h), f"tensor 'w': {match}") for k, (h, match) in BAD_ENTRIES.items()},
    **{f"layout: {k}": (pack(h, data), match) for k, (h, data, match) in BAD_LAYOUTS.items()},
}
STRICTER = {"JSON: leading space", "JSON: tensor twice", "JSON: unknown field twice"}
STRICTER |= {"JSON: twice further down", "JSON: twice by escape"}
# Odd, but the reference library reads it.
ACCEPTED = {
    "plain": pack(w()),
    "nothing": pack("{}", b""),
    "trailing whitespace": pack(w() + " \n\t\r"),
    "scalar": pack(w(shape="[]")),
    "zero size": pack(w(shape="[0,9]", at="[0,0]"), b""),
    "zero size, 2^64-1": pack(w(shape=f"[{2**64 - 1},0]", at="[0,0]"), b""),
    "zero, then overflow": pack(w(shape=f"[0,{2**63},{2**63}]", at="[0,0]"), b""),
    "metadata null": pack('{"__metadata__":null}', b""),
    "unknown field": pack(w(more=',"x":[1,-0,1e-400,{"y":null}]')),
    "300 digits": pack(w(more=',"x":' + "1" * 300)),
    "5000 digits": pack(w(more=',"x":0.' + "1" * 5000 + "e-5000")),
    "125 deep": pack(w(more=',"x":' + "[" * 125 + "]" * 125)),
    "surrogate pair": pack(w(name=r'"\ud83d\uDE00\\ud800"')),
    "escaped control": pack(w(name=r'"\n\u0000"')),
    "bare values": pack('{"w":["F32",[1],[0,4]]}'),
    "dtype as variant": pack(w('{"F32":null}')),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path: Path, case: str) -> None:
    raw, match = REFUSED[case]
    (path := tmp_path / "some name").write_bytes(raw)
    for function in (load_file, load_metadata, read_header):
        with pytest.raises(ValueError, match=match) as error:
            function(path)
        assert str(error.value).startswith(f"{path}: ")
        assert len(str(error.value)) < len(str(path)) + 400


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(tmp_path: Path, case: str) -> None:
    (tmp_path / "x").write_bytes(ACCEPTED[case])
    assert len(read_header(tmp_path / "x")) == ("metadata" not in case and case != "nothing")


def test_oracle_agrees() -> None:
    reference = pytest.importorskip("safetensors")
    for case, (raw, _) in REFUSED.items():
        if case in STRICTER:
            reference.deserialize(raw)
        else:
            with pytest.raises(reference.SafetensorError):
                reference.deserialize(raw)
    for raw in ACCEPTED.values():
        reference.deserialize(raw)


@pytest.mark.parametrize(
    ("beginning", "filling", "match"),
    [
        (b'{"w":', b"[", "nested too deeply"),
        (b'{"w":', b'{"w":', "nested too deeply"),
        (b'{"', b"\\ud800", "not valid JSON: Invalid"),
        (b'{"w":', b"1", "number out of range"),
        (b'{"', b"\xff", "not valid UTF-8"),
        (b"\0", b"\0", "does not start"),
        (b'{"', b"\x1b", "Invalid control character"),
        (b"{", b" ", "not valid JSON"),
    ],
    ids=lambda value: repr(value)[1:].replace("\\", "/"),
)
def test_long_header_is_refused_fast(
    tmp_path: Path, beginning: bytes, filling: bytes, match: str
) -> None:
    header = beginning + filling * ((20_000_000 - len(beginning)) // len(filling))
    (tmp_path / "x").write_bytes(pack(header))
    before = time.process_time()
    with pytest.raises(ValueError, match=match) as error:
        read_header(tmp_path / "x")
    assert time.process_time() - before < 1
    assert len(str(error.value)) < len(str(tmp_path)) + 400


def test_nothing_is_allocated_from_a_claimed_size(tmp_path: Path) -> None:
    sizes = [pack("{}", b"", 99_999_999), pack(w('"U8"', f"[{2**60}]", f"[0,{2**60}]"))]
    sizes += [pack(w(shape=f"[{2**40}]", at=f"[0,{2**42}]")), pack(w("[]", more='"x'), DATA, 2**63)]
    for raw in sizes:
        (tmp_path / "x").write_bytes(raw)
        tracemalloc.start()
        with pytest.raises(ValueError, match="x: "):
            load_file(tmp_path / "x")
        assert tracemalloc.get_traced_memory()[1] < 100_000
        tracemalloc.stop()


# ---------------------------------------------------------------------------- mutated files

NUMBERS = f"0 1 2 4 8 -1 -0 1.0 1e0 1e400 {2**61} {2**63} {2**64 - 1} {2**64}".encode().split()
WORDS = b'"F32" "F16" "BF16" "F64" "F4" "F6_E2M3" "U8" "BOOL" "C64" "I64" "f32" "a" "" "x"'.split()
WORDS += rb'"dtype" "shape" "data_offsets" "__metadata__" "\u0061" "\ud800" "\ud83d\ude00"'.split()
OTHERS = rb'null true [] {} [0] {"F32":null} [ ] { } , : \ " NaN'.split()
OTHERS += [b" ", b"\0", b"\xff"]
TOKEN = re.compile(rb'"[^"]*"|-?[0-9.e]+|[\[\]{},:]| +')
PAIR = re.compile(rb'"[^"]*"\s*:\s*({[^{}]*}|\[[^{}\[\]]*\]|"[^"]*")')


def sample(rng: random.Random) -> tuple[bytes, bytes]:
    """A valid (header, data) of up to four small tensors, in any order, with odd spacing."""
    bits = {"F32": 32, "F16": 16, "BF16": 16, "U8": 8, "BOOL": 8, "I64": 64, "F4": 4, "C64": 64}
    entries: dict[str, Any] = {}
    end = 0
    for name in rng.sample("abcde", rng.randrange(5)):
        dtype = rng.choice(list(bits))
        shape = [rng.choice((0, 1, 2, 2, 4)) for _ in range(rng.randrange(3))] + [2]
        begin, end = end, end + int(np.prod(shape)) * bits[dtype] // 8
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        if rng.random() < 0.1:
            entries[name]["x"] = rng.choice(([1, {"y": 2}], -1.5, ""))
    if rng.random() < 0.4:
        entries["__metadata__"] = rng.choice(({}, {"k": "v"}, {"a": "", "é": "\0"}, None))
    entries = dict(rng.sample(list(entries.items()), len(entries)))
    separators = rng.choice(((",", ":"), (", ", ": "), (" ,\n", "\t:")))
    header = json.dumps(entries, separators=separators, ensure_ascii=rng.random() < 0.5)
    return header.encode() + b" " * rng.randrange(9), rng.randbytes(end)


def mutate(rng: random.Random, header: bytes) -> bytes:
    """One change: mostly a token to one of its kind, else a byte, or a range moved or removed."""
    spans = [match.span() for match in TOKEN.finditer(header)] or [(0, 0)]
    (begin, end), (begin2, end2) = sorted(rng.choices(spans, k=2))
    place, token = rng.randrange(len(header) + 1), header[begin:end]
    kind = WORDS if token[:1] == b'"' else NUMBERS if token[-1:].isdigit() else OTHERS
    own = [header[b:e] for b, e in spans if (header[b : b + 1] == b'"') == (kind is WORDS)]
    changes = {
        header[:begin] + rng.choice(kind) + header[end:]: 6,
        header[:begin] + rng.choice(own or kind) + header[end:]: 4,
        header[:begin] + rng.choice(NUMBERS + WORDS + OTHERS) + header[end:]: 2,
        header[:place] + rng.choice(NUMBERS + WORDS + OTHERS) + header[place:]: 1,
        header[:place] + rng.randbytes(1) + header[place + 1 :]: 2,
        header[:begin] + header[begin2:]: 1,
        PAIR.sub(rb"\g<0>,\g<0>", header, count=1): 1,
        header[:begin] + header[begin2:end2] + header[end:begin2] + token + header[end2:]: 2,
    }
    return rng.choices(list(changes), list(changes.values()))[0]


def mutated_file(rng: random.Random) -> bytes:
    header, data = sample(rng)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        header = mutate(rng, header)
    if rng.random() < 0.15:
        data = rng.choice((data[:-1], data + b"\0", data * 2, b"", data[len(data) // 2 :]))
    lie = rng.choice((-1, 1, 8, 2**32, 2**63)) if rng.random() < 0.05 else 0
    raw = pack(header, data, max(0, len(header) + lie))
    return raw[: rng.randrange(len(raw) + 1)] if rng.random() < 0.03 else raw


def breaks_a_rule_of_ours(raw: bytes) -> bool:
    """Whether an acceptable file has a duplicate key, or whitespace first."""
    duplicates = []

    def count(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        duplicates.append(len({name for name, _ in pairs}) < len(pairs))
        return dict(pairs)

    header = raw[8 : 8 + int.from_bytes(raw[:8], "little")]
    json.loads(header, object_pairs_hook=count)
    return any(duplicates) or not header.startswith(b"{")


def compare(path: Path, raw: bytes, reference: Any) -> str:
    """The verdict on a file: both refuse it, only we do, or both accept it and read the same."""
    path.unlink(missing_ok=True)  # ext4 would flush a file that is truncated and written anew
    path.write_bytes(raw)
    try:
        wanted = dict(reference.deserialize(raw))
    except reference.SafetensorError:
        with pytest.raises(ValueError, match=path.name):
            read_header(path)
        return "refused"
    if breaks_a_rule_of_ours(raw):
        with pytest.raises(ValueError, match=r"twice|start with '\{'"):
            read_header(path)
        return "stricter"
    infos = read_header(path)
    assert infos.keys() == wanted.keys()
    for name, (dtype, shape, start, stop) in infos.items():
        assert (dtype, list(shape)) == (wanted[name]["dtype"], wanted[name]["shape"])
        assert raw[start:stop] == wanted[name]["data"]
    loadable = (info.dtype[:2] not in ("F4", "F6") for info in infos.values())
    if all(loadable) and all(max(info.shape, default=0) < 2**32 for info in infos.values()):
        for name, array in load_file(path).items():
            assert array.shape == infos[name].shape
            if infos[name].dtype not in ("BF16", "F16", "BOOL"):
                assert array.tobytes() == wanted[name]["data"]
    return "accepted"


def test_mutated_files(tmp_path: Path) -> None:
    reference = pytest.importorskip("safetensors")
    rng = random.Random(0)
    verdicts = dict.fromkeys(("refused", "stricter", "accepted"), 0)
    for index in range(FUZZ_FILES):
        raw = mutated_file(rng)
        try:
            verdicts[compare(tmp_path / "x", raw, reference)] += 1
        except BaseException as error:
            raise AssertionError(f"file {index}: {raw!r}") from error
    print(verdicts)
    assert min(verdicts["refused"], verdicts["accepted"]) > FUZZ_FILES / 10
    assert verdicts["stricter"] > 0
