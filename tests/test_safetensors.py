"""io.safetensors: round trips, the reference library's bytes, memory maps, saving.

test_safetensors_hostile.py has the files that must be refused.
"""

from __future__ import annotations

import gc
import json
import math
import mmap
import os
import stat
import struct
import sys
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forwardpass.io import safetensors as module
from forwardpass.io.safetensors import (
    TensorInfo,
    load_file,
    load_metadata,
    read_header,
    save_file,
)

DTYPES = ["f4", "f8", "f2", "c8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"]
SHAPES = [(), (0,), (1,), (7,), (2, 0, 3), (2, 3, 4), (1,) * 32]
NAMES = ["a", "w.0.weight", "Ünïcødé", "重み", "😀", "", 'quo"te\\', "tab\t\x01\x7f", " ", "a\0b"]


@pytest.fixture
def oracle() -> Any:
    return pytest.importorskip("safetensors")


def values(dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Random bytes as an array: every bit pattern of the dtype can come up."""
    rng = np.random.default_rng(sum(map(ord, dtype)) + math.prod(shape))
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = rng.integers(0, 2 if dtype == "b1" else 256, size, np.uint8)
    return raw.view(dtype).reshape(shape)


def write(
    path: Path, tensors: dict[str, tuple[str, list[int], tuple[int, int]]], data: bytes
) -> int:
    """A file with this header, {name: (dtype, shape, data_offsets)}; where its data begin."""
    fields = ("dtype", "shape", "data_offsets")
    entries = {name: dict(zip(fields, entry, strict=True)) for name, entry in tensors.items()}
    header = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return 8 + len(header)


# ------------------------------------------------------------------------------- what can be stored


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = values(dtype, shape)
    save_file({"w": array}, tmp_path / "x")
    loaded = load_file(tmp_path / "x")["w"]
    wanted = array.astype(np.float32) if dtype == "f2" else array
    assert loaded.dtype == wanted.dtype
    assert loaded.shape == wanted.shape
    assert loaded.tobytes() == wanted.tobytes()
    assert not loaded.flags.writeable


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}, {"ключ": 'a"\n\x00é'}], ids=str)
def test_bytes_of_reference(tmp_path: Path, oracle: Any, metadata: dict[str, str] | None) -> None:
    from safetensors.numpy import save

    tensors = {f"{d}{s}": values(d, s) for d in DTYPES for s in SHAPES}
    tensors |= {name: values("f4", (3,)) for name in NAMES}
    for some in (tensors, dict(reversed(tensors.items())), {}, {"a": values("i1", (5,))}):
        save_file(some, tmp_path / "x", metadata)
        if some or metadata != {}:  # there 0.8.0 writes {},"__metadata__":{}} and cannot read it
            assert (tmp_path / "x").read_bytes() == save(some, metadata)


def test_strides_and_byte_order(tmp_path: Path) -> None:
    base = values("i4", (6, 8)).astype(np.float32)
    odd = np.frombuffer(b"\0" + base.tobytes(), "u1")[1:].view("f4").reshape(6, 8)
    views = {"t": base.T, "step": base[::-2, ::3], "swapped": base.astype(">f4"), "odd": odd}
    views |= {"0d": np.asarray(base[1, 2]), "0d swapped": np.array(2.5, ">f8")}
    views |= {"fortran": base.copy("F"), "spread": np.broadcast_to(base[0], (3, 8))}
    views |= {"bool": (base > 0)[:, ::2], "empty": base[:0].T}
    save_file(views, tmp_path / "x")
    loaded = load_file(tmp_path / "x")
    for name, array in views.items():
        assert loaded[name].shape == array.shape
        assert loaded[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(loaded[name], array)


@pytest.mark.parametrize("name", NAMES)
def test_names(tmp_path: Path, name: str) -> None:
    save_file({name: np.ones(2, np.float32)}, tmp_path / "x", {name: name})
    assert list(load_file(tmp_path / "x")) == [name]
    assert load_metadata(tmp_path / "x") == {name: name}


def test_order_is_the_headers(tmp_path: Path) -> None:
    """Neither that of the data nor the alphabet."""
    spans = {"m": (4, 8), "z": (0, 4), "a": (8, 12)}
    entries = {name: ("F32", list[int](), span) for name, span in spans.items()}
    write(tmp_path / "x", entries, struct.pack("<3f", 1, 2, 3))
    loaded = load_file(tmp_path / "x")
    assert {name: float(array) for name, array in loaded.items()} == {"m": 2, "z": 1, "a": 3}
    assert list(loaded) == list(read_header(tmp_path / "x")) == ["m", "z", "a"]


def test_bfloat16_exact(tmp_path: Path) -> None:
    """All patterns, against the definition: sign, 8 bits of exponent, 7 of fraction."""
    bits = np.arange(65536, dtype=np.uint16)
    write(tmp_path / "x", {"w": ("BF16", [256, 256], (0, 131072))}, bits.tobytes())
    loaded = load_file(tmp_path / "x")["w"]
    wanted = []
    for pattern in range(65536):
        sign, exponent, fraction = pattern >> 15, pattern >> 7 & 255, pattern & 127
        if exponent == 255:
            value = math.nan if fraction else math.inf
        else:
            significand = fraction + 128 if exponent else fraction
            value = math.ldexp(significand, max(exponent, 1) - 134)
        wanted.append(-value if sign else value)
    assert loaded.dtype == np.float32
    assert loaded.shape == (256, 256)
    np.testing.assert_array_equal(loaded.ravel(), np.array(wanted))
    np.testing.assert_array_equal(np.signbit(loaded.ravel()), bits >= 0x8000)


def test_float16_exact(tmp_path: Path) -> None:
    bits = np.arange(65536, dtype=np.uint16)
    write(tmp_path / "x", {"w": ("F16", [65536], (0, 131072))}, bits.tobytes())
    loaded = load_file(tmp_path / "x")["w"]
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, np.array(struct.unpack("<65536e", bits.tobytes())))
    np.testing.assert_array_equal(np.signbit(loaded), bits >= 0x8000)


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_widening_needs_no_second_copy(tmp_path: Path, dtype: str) -> None:
    count = 1 << 20
    write(tmp_path / "x", {"w": (dtype, [count], (0, 2 * count))}, bytes(2 * count))
    tracemalloc.start()
    loaded = load_file(tmp_path / "x")["w"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert loaded.nbytes <= peak < 1.1 * loaded.nbytes


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F4"])
def test_dtypes_numpy_lacks(tmp_path: Path, dtype: str) -> None:
    size = 2 if dtype == "F4" else 4
    start = write(tmp_path / "x", {"w": (dtype, [2, 2], (0, size))}, bytes(size))
    assert read_header(tmp_path / "x") == {"w": TensorInfo(dtype, (2, 2), start, start + size)}
    with pytest.raises(ValueError, match=f"x: tensor 'w': NumPy has no array of dtype {dtype}"):
        load_file(tmp_path / "x")


def test_bool_bytes_are_normalised(tmp_path: Path) -> None:
    write(tmp_path / "x", {"w": ("BOOL", [4], (0, 4))}, b"\x00\x01\x02\xff")
    assert load_file(tmp_path / "x")["w"].view(np.uint8).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("shape", [[1] * 65, [0, 2**63], [0, 2**40, 2**23]], ids=lambda s: s[:3])
def test_shapes_numpy_cannot_hold(tmp_path: Path, shape: list[int]) -> None:
    size = 0 if 0 in shape else 4
    write(tmp_path / "x", {"w": ("F32", shape, (0, size))}, bytes(size))
    assert read_header(tmp_path / "x")["w"].shape == tuple(shape)
    with pytest.raises(ValueError, match="x: tensor 'w': "):
        load_file(tmp_path / "x")


def test_metadata(tmp_path: Path) -> None:
    save_file({}, tmp_path / "x", {"b": "1", "a": "2"})
    assert list(load_metadata(tmp_path / "x").items()) == [("b", "1"), ("a", "2")]
    assert load_file(tmp_path / "x") == read_header(tmp_path / "x") == {}
    save_file({}, tmp_path / "x")
    assert load_metadata(tmp_path / "x") == {}


# ------------------------------------------------------------------------------- the memory map


def root(array: Any) -> Any:
    while getattr(array, "base", None) is not None:
        array = array.base
    return array.obj if isinstance(array, memoryview) else array


def test_mapped_arrays(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save_file({"w": np.ones((512, 512), np.float32), "n": np.arange(3)}, path)
    tracemalloc.start()
    loaded = load_file(str(path))
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    weight = loaded.pop("w")
    assert type(weight) is np.ndarray
    assert isinstance(root(weight), mmap.mmap)
    assert root(weight) is root(loaded.pop("n"))
    with pytest.raises(ValueError, match="read-only"):
        weight[0, 0] = 2
    with pytest.raises(ValueError, match="WRITEABLE"):
        weight.flags.writeable = True
    path.unlink()
    gc.collect()
    assert float(weight.sum()) == 512 * 512


def test_no_map(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save_file({"w": np.arange(3.0), "v": np.arange(2, dtype=np.float32)}, path)
    loaded = load_file(path, mmap=False)
    path.write_bytes(b"")
    assert loaded["w"].tolist() == [0, 1, 2]
    assert not loaded["w"].flags.writeable
    assert isinstance(root(loaded["w"]), bytes)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "i2", "u4", "b1", "i1"])
def test_misaligned_tensors_are_copied(tmp_path: Path, dtype: str) -> None:
    array = values(dtype, (4, 3))
    letter = {"f": "F", "c": "C", "i": "I", "u": "U"}.get(dtype[0])
    name = f"{letter}{8 * array.itemsize}" if letter else "BOOL"
    for length in range(8):
        write(tmp_path / "x", {"w" * length: (name, [4, 3], (0, array.nbytes))}, array.tobytes())
        loaded = load_file(tmp_path / "x")["w" * length]
        assert loaded.flags.aligned
        assert not loaded.flags.writeable
        assert loaded.tobytes() == array.tobytes()


def test_files_get_closed(tmp_path: Path) -> None:
    save_file({"w": np.ones(4, np.float32)}, good := tmp_path / "good")
    (bad := tmp_path / "bad").write_bytes(b"x" * 99)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for function in (load_file, load_metadata, read_header):
            function(good)
            with pytest.raises(ValueError, match="bad"):
                function(bad)
        gc.collect()
    assert not caught
    if sys.platform == "linux":
        links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
        targets = [os.readlink(link) for link in links if os.path.islink(link)]
        assert not [target for target in targets if target.startswith(str(tmp_path))]


def test_saving_over_a_mapped_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save_file({"w": np.arange(1 << 20, dtype=np.float32)}, path)
    loaded = load_file(path)
    save_file({"w": loaded["w"][:3] + 1}, path)
    assert load_file(path)["w"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(loaded["w"], np.arange(1 << 20, dtype=np.float32))
    save_file(load_file(path), path)
    assert load_file(path)["w"].tolist() == [1, 2, 3]


# ------------------------------------------------------------------------------- saving


@pytest.mark.parametrize("broken", ["_stored_bytes", "os.replace"])
def test_failed_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """Whatever fails, at the second tensor or at the end: the old file stays, nothing else does."""
    path = tmp_path / "x"
    save_file({"w": np.ones(4)}, path)
    before = path.read_bytes()
    good = module._stored_bytes

    def fail(*arguments: Any) -> memoryview:
        if broken == "_stored_bytes" and arguments[0].dtype == np.float64:
            return good(*arguments)
        raise OSError("disk full")

    if broken == "os.replace":
        monkeypatch.setattr(os, "replace", fail)
    else:
        monkeypatch.setattr(module, "_stored_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        save_file({"a": np.ones(9), "b": np.ones(9, np.float32)}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "match"),
    [
        ({"w": [1.0]}, None, TypeError, "'w': expected a numpy.ndarray, got list"),
        ({"w": np.float32(1)}, None, TypeError, "'w': expected a numpy.ndarray, got float32"),
        ({"w": None}, None, TypeError, "'w': expected a numpy.ndarray, got NoneType"),
        ({"w": np.ones(2, complex)}, None, TypeError, "'w': the format has no dtype for complex"),
        ({"w": np.ones(2, object)}, None, TypeError, "'w': the format has no dtype for object"),
        ({"w": np.array(["x"])}, None, TypeError, "'w': the format has no dtype for <U1"),
        ({"w": np.ones(2, np.longdouble)}, None, TypeError, "'w': the format has no dtype for"),
        ({"w": np.zeros(2, "m8[s]")}, None, TypeError, "'w': the format has no dtype for time"),
        ({"w": np.zeros(2, "f4,f4")}, None, TypeError, "'w': the format has no dtype for"),
        ({1: np.ones(2)}, None, TypeError, "names of tensors must be str, got int"),
        ({"__metadata__": np.ones(2)}, None, ValueError, "the format reserves it"),
        ({"\ud800": np.ones(2)}, None, ValueError, "no UTF-8 form"),
        ({"w": np.ones(2)}, {"a": 1}, TypeError, "dict of str to str"),
        ({"w": np.ones(2)}, {1: "a"}, TypeError, "dict of str to str"),
        ({"w": np.ones(2)}, ["a"], TypeError, "dict of str to str"),
    ],
)  # fmt: skip
def test_refused_saves(
    tmp_path: Path, tensors: Any, metadata: Any, error: type[Exception], match: str
) -> None:
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(error, match=match):
        save_file({"first": np.ones(3)} | tensors, tmp_path / "x", metadata)
    assert (tmp_path / "x").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_long_header_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forwardpass.io.header._MAX_BYTES", 80)
    save_file({"w": np.ones(2)}, tmp_path / "x", {"a": "b"})
    with pytest.raises(ValueError, match="the header would have 88 bytes, more than 80"):
        save_file({"w": np.ones(2)}, tmp_path / "y", {"a": "b" * 8})
    assert os.listdir(tmp_path) == ["x"]


def test_os_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (load_file, load_metadata, read_header):
        with pytest.raises(FileNotFoundError):
            function(tmp_path / "missing")
        with pytest.raises(IsADirectoryError if os.name == "posix" else PermissionError):
            function(tmp_path)
    with pytest.raises(FileNotFoundError):
        save_file({}, tmp_path / "missing" / "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        save_file({}, tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]
    monkeypatch.chdir(tmp_path)
    save_file({}, "x")  # a bare name
    assert sorted(os.listdir()) == ["folder", "x"]


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        save_file({}, tmp_path / "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640
