"""The header of a .safetensors file: what it may hold, reading it from strangers, writing it.

The format (https://github.com/huggingface/safetensors#format), little-endian throughout:

    8 bytes   N, the length of the header, unsigned
    N bytes   the header: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
              as UTF-8 JSON, padded with spaces; "__metadata__" may map strings to strings
    the rest  the tensors in C order; data_offsets are [begin, end) and count from here

Every field is checked before it is used, nothing is allocated from a size that a file merely
claims, and a refusal is a ValueError that names the file and the tensor. What is refused follows
the reference library 0.8.0 (the tests compare the two on mutated files), but for two rules of the
format that only we enforce: no duplicate keys, and "{" comes first.
"""

from __future__ import annotations

import json
import math
import os
import reprlib
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

__all__ = ["BITS", "CONVERT", "LFS", "NUMPY", "TORCH_SUFFIXES", "TensorInfo"]
__all__ += ["about", "encode", "read", "short"]

# Bits of each dtype, widest first: the order in which the reference library writes tensors.
BITS = dict.fromkeys(("U64", "I64", "F64", "C64"), 64)
BITS |= dict.fromkeys(("F32", "U32", "I32"), 32)
BITS |= dict.fromkeys(("BF16", "F16", "U16", "I16"), 16)
BITS |= dict.fromkeys(("F8_E5M2FNUZ", "F8_E4M3FNUZ", "F8_E8M0", "F8_E4M3", "F8_E5M2"), 8)
BITS |= {"I8": 8, "U8": 8, "F6_E3M2": 6, "F6_E2M3": 6, "F4": 4, "BOOL": 8}
# Those that NumPy has, by its names: "F32" -> "f4", "BOOL" -> "b1".
NUMPY = {
    name: f"{name[0].lower()}{bits // 8}"
    for name, bits in BITS.items()
    if "_" not in name and name not in ("BF16", "F4")
}

_MAX_BYTES = 100_000_000  # the reference library's limit
_MAX_DEPTH = 127  # of arrays and objects in one another; the limit of the reference's JSON parser
_FIELDS = ("dtype", "shape", "data_offsets")

# How files that are mistaken for safetensors begin (zip, pickle protocols 2 to 5, Git LFS).
CONVERT = (
    "convert it once, where torch is installed: "
    "safetensors.torch.save_file({k: v.contiguous().clone() for k, v in "
    "torch.load(path, weights_only=True).items()}, 'model.safetensors')"
)
_TORCH = f"this looks like a torch checkpoint, which can run code when it is loaded; {CONVERT}"
TORCH_SUFFIXES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
LFS = "this is a Git LFS pointer, not the weights; fetch them with: git lfs pull"
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_MISTAKEN = {b"version https://git-lfs": LFS, **dict.fromkeys((b"PK\x03\x04", *_PICKLES), _TORCH)}

short = reprlib.Repr()  # bounds what a hostile name or shape can put into a message
short.maxstring = short.maxother = 120


class TensorInfo(NamedTuple):
    """A tensor's entry in a header. Its bytes are file[start:stop], counted from the file's start.

    `dtype` is the format's name: "F32", "BF16", "F8_E4M3", "I64", ...
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def about(name: str, reason: str) -> str:
    """The text of an error about one tensor."""
    return f"tensor {short.repr(name)}: {reason}"


def encode(
    tensors: Mapping[str, tuple[str, tuple[int, ...], int]], metadata: dict[str, str] | None
) -> bytes:
    """The length and header of a file with these tensors, {name: (dtype, shape, bytes)}, in order.

    The header is padded with spaces to a multiple of 8 bytes, so that the data begin aligned.
    """
    content: dict[str, object] = {}
    if metadata is not None:
        if not _is_text_map(metadata):
            raise TypeError("metadata must be a dict of str to str")
        content["__metadata__"] = metadata
    end = 0
    for name, (dtype, shape, size) in tensors.items():
        begin, end = end, end + size
        content[name] = dict(zip(_FIELDS, (dtype, shape, (begin, end)), strict=True))
    try:
        header = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair
        raise ValueError(f"a name or the metadata has no UTF-8 form: {error}") from None
    header += b" " * (-len(header) % 8)
    if len(header) > _MAX_BYTES:
        raise ValueError(f"the header would have {len(header)} bytes, more than {_MAX_BYTES}")
    return len(header).to_bytes(8, "little") + header


def read(
    file: BinaryIO, path: str | os.PathLike[str]
) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """The checked (tensors, metadata) of an open file, in the header's order; reads no tensor."""
    try:
        return _parse(file)
    except ValueError as error:
        reason = str(error)
    file.seek(0)
    beginning = file.read(32)
    hints = (hint for prefix, hint in _MISTAKEN.items() if beginning.startswith(prefix))
    if os.fspath(path).lower().endswith(TORCH_SUFFIXES):  # an older format of torch's, perhaps
        reason = f"{reason}; if it is a torch checkpoint, {CONVERT}"
    raise ValueError(f"{os.fspath(path)}: {next(hints, reason)}")


def _parse(file: BinaryIO) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size < 8:
        raise ValueError(f"not a safetensors file: it has {size} bytes, fewer than 8")
    length = int.from_bytes(file.read(8), "little")
    if length > _MAX_BYTES:
        raise ValueError(f"the header's length, {length} bytes, is beyond {_MAX_BYTES}")
    if length > size - 8:
        raise ValueError(f"truncated: the header has {length} bytes, but {size - 8} follow")
    header = _decode(file.read(length))
    metadata = header.pop("__metadata__", None)
    if metadata is None:
        metadata = {}
    if not _is_text_map(metadata):
        raise ValueError("__metadata__ must map strings to strings")
    tensors = {name: _entry(name, raw, 8 + length) for name, raw in header.items()}
    _check_layout(tensors, 8 + length, size)
    return tensors, metadata


def _decode(header: bytes) -> dict[str, Any]:
    """The header as a dict, from JSON as strict as the reference library's parser."""
    try:
        text = header.decode()
        if not text.startswith("{"):
            raise ValueError("the header does not start with '{'")
        result: dict[str, Any] = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_real,
            parse_constant=_real,
        )
        if "\\ud" in text or "\\uD" in text:  # a surrogate without its partner fails here
            json.dumps(result, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ValueError(f"the header is not valid JSON: {error}") from None
    except UnicodeError as error:
        raise ValueError(f"the header is not valid UTF-8: {error}") from None
    except RecursionError:
        raise ValueError("the header is nested too deeply") from None
    return result


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):  # another parser might pick another one of the two
        for name, _ in pairs:
            if result.pop(name, pairs) is pairs:
                raise ValueError(f"the header has the key {short.repr(name)} twice")
    return result


def _integer(digits: str) -> float:
    """An int where the number is a u64; else a float, which no field accepts ("-0" too)."""
    if len(digits) <= 20 and digits[0] != "-" and (value := int(digits)) < 2**64:
        return value
    return _real(digits)


def _real(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):  # also JSON's unofficial NaN and Infinity
        raise ValueError(f"the header has a number out of range: {short.repr(digits)}")
    return value


def _entry(name: str, raw: Any, data_start: int) -> TensorInfo:
    """The checked entry of one tensor, apart from its place among the others."""
    if isinstance(raw, list) and len(raw) == 3:  # the reference library reads bare values as well
        raw = dict(zip(_FIELDS, raw, strict=True))
    if not isinstance(raw, dict) or not raw.keys() >= set(_FIELDS):
        raise ValueError(about(name, "its entry must be an object with dtype, shape, data_offsets"))
    if len(raw) > len(_FIELDS) and _depth(raw) >= _MAX_DEPTH:  # unknown fields are ignored
        raise ValueError(about(name, "its entry is nested too deeply"))
    dtype, shape, offsets = (raw[field] for field in _FIELDS)
    if isinstance(dtype, dict) and list(dtype.values()) == [None]:
        (dtype,) = dtype  # {"F32": null}: the reference library reads this as well
    if not isinstance(dtype, str) or dtype not in BITS:
        raise ValueError(about(name, f"unknown dtype {short.repr(dtype)}"))
    if not _are_counts(shape):
        raise ValueError(about(name, f"shape must be a list of counts, got {short.repr(shape)}"))
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        got = short.repr(offsets)
        raise ValueError(about(name, f"data_offsets must be [begin, end], got {got}"))
    begin, end = offsets
    size = _byte_count(name, shape, BITS[dtype])
    if end - begin != size:
        needs = f"{dtype} of shape {short.repr(shape)} takes {size} bytes"
        raise ValueError(about(name, f"{needs}, but data_offsets span {end - begin}"))
    return TensorInfo(dtype, tuple(shape), data_start + begin, data_start + end)


def _byte_count(name: str, shape: list[int], bits: int) -> int:
    """The size of a tensor. No product may pass 64 bits, whether or not a 0 follows."""
    total = 1
    for factor in (*shape, bits):
        total *= factor
        if total >= 2**64:
            raise ValueError(about(name, f"the size of shape {short.repr(shape)} overflows"))
    if total % 8:
        raise ValueError(about(name, f"shape {short.repr(shape)} ends within a byte"))
    return total // 8


def _check_layout(tensors: dict[str, TensorInfo], start: int, size: int) -> None:
    """The tensors must tile file[start:size]: no overlap, no hole, nothing behind them."""
    for name, info in sorted(tensors.items(), key=lambda item: item[1][2:]):
        if info.start < start:
            raise ValueError(about(name, "its data_offsets overlap another tensor's"))
        if info.start > start:
            gap = info.start - start
            raise ValueError(about(name, f"the {gap} bytes before it belong to no tensor"))
        if info.stop > size:
            raise ValueError(about(name, f"truncated: {info.stop - size} of its bytes are missing"))
        start = info.stop
    if start != size:
        raise ValueError(f"the last {size - start} bytes belong to no tensor")


def _are_counts(value: object) -> bool:
    """Whether value is a list of ints, which `_integer` makes of nothing but a u64."""
    return isinstance(value, list) and set(map(type, value)) <= {int}


def _is_text_map(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(text, str) for key, text in value.items()
    )


def _depth(value: Any) -> int:
    """How many arrays and objects are nested in value, itself included."""
    depth, level = 0, [value]
    while level:
        depth += 1
        inner = (item.values() if isinstance(item, dict) else item for item in level)
        level = [child for items in inner for child in items if isinstance(child, (dict, list))]
    return depth
