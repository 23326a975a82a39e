"""Silero VAD with drawn weights: .onnx files from anybody, against float64, chunk by chunk."""

from __future__ import annotations

import struct

import numpy as np
import pytest

import _networks as net
from _arrays import assert_same_bytes
from forwardpass import models, nn
from forwardpass.io.onnx import read_tensors
from forwardpass.models.vad import FrameConv, Segment, SileroVAD, speech_segments

ONNX = {
    "stft.weight": "stft.forward_basis_buffer",
    "head.weight": "decoder.decoder.2.weight",
    "head.bias": "decoder.decoder.2.bias",
    **{
        f"encoder.{i}.{n}": f"encoder.{i}.reparam_conv.{n}"
        for i in range(4)
        for n in ("weight", "bias")
    },
    **{f"rnn.{n}": f"decoder.rnn.{n}" for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
}


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name: str, array: np.ndarray, code: int = 1) -> bytes:
    dims = b"".join(field(1, d) for d in array.shape)
    return dims + field(2, code) + field(8, name.encode()) + field(9, array.tobytes())


def model(*graph: bytes) -> bytes:
    return field(1, 8) + field(7, b"".join(graph))


def constant(name: str, value: bytes) -> bytes:
    return field(1, field(2, name.encode()) + field(4, b"Constant") + field(5, field(5, value)))


def branch(*graph: bytes) -> bytes:
    return field(1, field(4, b"If") + field(5, field(6, b"".join(graph))))


@pytest.fixture(scope="module")
def state():
    rng = np.random.default_rng(0)
    found = {}
    for name, parameter in SileroVAD().named_parameters():
        fan = max(1, int(np.prod(parameter.shape[1:])))
        found[name] = rng.standard_normal(parameter.shape, np.float32) * np.float32(fan**-0.5)
    return found


@pytest.fixture
def vad(tmp_path, state):
    path = tmp_path / "m.onnx"
    path.write_bytes(
        model(*(field(5, tensor(f"model.{ONNX[n]}", onnx(n, a))) for n, a in state.items()))
    )
    return models.load(path)


def onnx(name: str, array: np.ndarray) -> np.ndarray:
    return array[:, :, None] if name == "head.weight" else array


def wav(chunks: int = 6) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(chunks * 512, np.float32) / 4


def test_probabilities_against_float64(vad, state, isa):
    expected = net.vad(state, wav())
    np.testing.assert_allclose(vad.probabilities(wav()), expected, rtol=0, atol=2e-6)


def test_chunk_by_chunk_is_the_whole(vad):
    whole = vad.probabilities(wav())
    state, found = None, []
    for chunk in wav().reshape(-1, 512):
        before = None if state is None else [a.copy() for a in state]
        p, after = vad(chunk, state)
        if state is not None:
            for a, b in zip(state, before, strict=True):
                assert_same_bytes(a, b)
        found.append(p)
        state = after
    assert_same_bytes(np.array(found), whole)
    again, _ = vad(wav()[:512])
    assert again == whole[0]


def test_streams_side_by_side(vad):
    one, two = wav().reshape(-1, 512)[:3], wav(9).reshape(-1, 512)[6:]
    state, found = None, []
    for pair in zip(one, two, strict=True):
        p, state = vad(np.stack(pair), state)
        found.append(p)
    assert_same_bytes(np.array(found)[:, 0], vad.probabilities(one.ravel()))
    assert_same_bytes(np.array(found)[:, 1], vad.probabilities(two.ravel()))


def test_the_state_does_not_see_the_caller_change_a_chunk(vad):
    chunk = wav()[:512].copy()
    _, state = vad(chunk)
    chunk[:] = 0
    assert_same_bytes(vad(wav()[512:1024], state)[0], vad.probabilities(wav())[1])


def test_the_last_chunk_is_padded(vad):
    x = wav()[:700]
    assert_same_bytes(vad.probabilities(x), vad.probabilities(np.pad(x, (0, 324))))
    assert vad.probabilities(x[:0]).shape == (0,)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_frame_conv_has_the_bytes_of_conv1d(frames, stride, isa):
    rng = np.random.default_rng(frames)
    layer = FrameConv(40, 48, stride=stride)
    other = nn.Conv1d(40, 48, 3, stride=stride, padding=1)
    other.load_state_dict(layer.state_dict())
    x = rng.standard_normal((3, 40, frames), np.float32)
    expected = nn.functional.relu(other(x))
    assert_same_bytes(layer(x), expected)
    assert_same_bytes(layer.weight, other.weight)


def test_bad_chunks(vad):
    for wrong in (np.zeros(511, np.float32), np.zeros((1, 1, 512), np.float32)):
        with pytest.raises(ValueError, match=r"\(512,\) or \(B, 512\)"):
            vad(wrong)
    with pytest.raises(TypeError, match="float64"):
        vad(np.zeros(512))
    with pytest.raises(ValueError, match="state of 1 streams with 2 chunks"):
        vad(np.zeros((2, 512), np.float32), vad.initial_state())
    with pytest.raises(ValueError, match=r"shape \(n,\)"):
        vad.probabilities(np.zeros((2, 512), np.float32))


def test_weights_in_branches_and_constants(tmp_path, state):
    """As in silero_vad.onnx, which holds a model of 8 kHz too."""
    inner = [
        constant(f"If_0_then_branch__Inline_0__{ONNX[n]}", tensor("", onnx(n, a)))
        for n, a in state.items()
    ]
    small = constant(
        "If_0_else_branch__Inline_0__stft.forward_basis_buffer", tensor("", np.zeros(3, np.float32))
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(model(branch(small), branch(*inner)))
    np.testing.assert_allclose(
        models.load(path).probabilities(wav()), net.vad(state, wav()), 0, 2e-6
    )


def test_other_networks_are_refused(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(model(field(5, tensor("w", np.zeros(3, np.float32)))))
    with pytest.raises(ValueError, match="not a Silero VAD"):
        models.load(path)


def test_tensors_of_all_kinds(tmp_path):
    path = tmp_path / "m.onnx"
    floats = field(1, 2) + field(2, 1) + field(8, b"f") + field(4, struct.pack("<2f", 1, 2))
    packed = field(1, varint(2) + varint(1)) + field(2, 7) + field(8, b"i")
    packed += field(9, np.array([3, -4]).tobytes())
    path.write_bytes(model(field(5, floats), field(5, packed)))
    found = read_tensors(path)
    assert found["f"].tolist() == [1, 2]
    assert found["i"].tolist() == [[3], [-4]]


WEIGHT = tensor("w", np.zeros(3, np.float32))
DEEP = b""
for _ in range(40):
    DEEP = branch(DEEP)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no graph"),
        (b"\xff" * 40, "not a protobuf"),
        (b"<html>", "protobuf|graph|truncated"),
        (model(field(5, WEIGHT))[:-1], "truncated"),
        (model(field(5, WEIGHT), field(5, WEIGHT)), "twice"),
        (model(field(5, WEIGHT + field(1, 2))), r"shape \(3, 2\) has 12 bytes"),
        (model(field(5, WEIGHT + field(1, 1 << 62))), "dimension"),
        (model(field(5, WEIGHT + field(13, b""))), "second file"),
        (model(DEEP), "nested"),
        (field(7, 1 << 60), "not an ONNX"),
        (field(7, b"") + varint(7 << 3 | 2) + varint(1 << 60), "truncated"),
    ],
)
def test_malformed_files(tmp_path, data, message):
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_tensors(path)


def test_segments():
    def p(text):
        return [{"#": 0.9, "-": 0.4, ".": 0.1}[c] for c in text]

    # 250 ms are 8 chunks, 100 ms of silence 4 chunks and a bit; 480 samples are added
    assert speech_segments(p(".." + "#" * 10 + "." * 9)) == [Segment(2 * 512 - 480, 12 * 512 + 480)]
    assert speech_segments(p("#" * 10)) == [Segment(0, 5120)]
    assert speech_segments(p("..####......")) == []
    assert speech_segments(p("")) == []
    # neither doubt nor a short pause ends speech
    assert len(speech_segments(p("#####-----#####..####......"))) == 1
    two = speech_segments(p("#" * 10 + "." * 5 + "#" * 10 + "." * 6), pad=1.0)
    assert two[0].stop == two[1].start == 6400


def test_changes_after_the_first_chunk_count(vad, state):
    """A call keeps the packed weights of layers that nobody watches."""
    x = wav()[:1024]
    expected = vad.probabilities(x)
    calls = []
    for module in (vad.stft, vad.encoder[2], vad.rnn, vad.head):
        handle = module.register_forward_hook(lambda *_: calls.append(0))
        assert_same_bytes(vad.probabilities(x), expected)
        assert calls
        calls.clear()
        handle.remove()
    for name in ("stft.weight", "encoder.1.bias", "encoder.3.weight", "rnn.weight_hh", "head.bias"):
        vad.load_state_dict({**state, name: state[name] * np.float32(2)})
        changed = vad.probabilities(x)
        assert (changed != expected).any(), name
        other = SileroVAD()
        other.load_state_dict(vad.state_dict())
        assert_same_bytes(other.probabilities(x), changed)
    vad.load_state_dict(state)
    assert_same_bytes(vad.probabilities(x), expected)
    first, vad.encoder[1] = vad.encoder[1], FrameConv(128, 64, stride=2)
    assert (vad.probabilities(x) != expected).any()
    vad.encoder[1] = first
    assert_same_bytes(vad.probabilities(x), expected)
