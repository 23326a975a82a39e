"""GGUF: headers from anybody, and a Llama in each format against the same tensors by name."""

from __future__ import annotations

import struct

import numpy as np
import pytest

import _networks as net
from _arrays import assert_same_bytes
from forwardpass import models
from forwardpass.io.gguf import open_file

# What the formats need: rows of a multiple of 32.
CONFIG = {**net.LLAMA, "intermediate_size": 96}
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.norm": "output_norm",
    "model.embed_tokens": "token_embd",
}
TOKENS = [
    "<|im_start|>",
    "<|im_end|>",
    *"abcdefghi",
    "ab",
    "Ġ",
    "1",
    "2",
    "Ċ",
    *map(str, range(3, 47)),
]


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def header(settings=(), tensors=(), version=3, count=None, start=b"GGUF") -> bytes:
    """settings: (key, type, bytes); tensors: (name, dims, kind, offset)."""
    data = start + struct.pack(
        "<IQQ", version, len(tensors), len(settings) if count is None else count
    )
    for key, kind, value in settings:
        data += text(key) + struct.pack("<I", kind) + value
    for name, dims, kind, offset in tensors:
        data += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)
    return data + bytes(-len(data) % 32) + bytes(64)


def permuted(array, heads):
    """Rows as llama.cpp's converter stores them."""
    return array.reshape(heads, 2, -1, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)


def write(path, kind, state, factors=None):
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(40)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_key_length(32)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1000.0)
    writer.add_eos_token_id(1)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_merges(["a b"])
    writer.add_token_types([3, 3, *[1] * 58])
    for name, array in state.items():
        short = name.removesuffix(".weight").removeprefix("model.layers.")
        layer, _, part = short.partition(".")
        ours = NAMES.get(short) or f"blk.{layer}.{NAMES[part]}"
        if part in ("self_attn.q_proj", "self_attn.k_proj"):
            array = permuted(array, 4 if part == "self_attn.q_proj" else 2)
        quantise = gguf.GGMLQuantizationType[kind if array.ndim == 2 else "F32"]
        raw = gguf.quantize(np.ascontiguousarray(array), quantise)
        writer.add_tensor(f"{ours}.weight", raw, raw_dtype=quantise)
    if factors is not None:
        writer.add_tensor("rope_freqs.weight", factors)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def rounded(state, kind):
    """The values that a format can hold."""
    import gguf

    quantise = gguf.GGMLQuantizationType[kind]
    return {
        name: gguf.dequantize(gguf.quantize(array, quantise), quantise).reshape(array.shape)
        if array.ndim == 2
        else array
        for name, array in state.items()
    }


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_1", "Q4_0", "Q5_1"])
def test_a_file_gives_the_model_of_its_tensors(tmp_path, kind):
    pytest.importorskip("gguf")
    state = net.llama_state(CONFIG)
    found = models.load(write(tmp_path / "m.gguf", kind, state))
    expected = models.load(net.write(tmp_path / "m", CONFIG, rounded(state, kind)))
    ids = np.arange(20)[None]
    assert_same_bytes(found(ids), expected(ids))
    assert found.stop == {1}
    assert found.longest == 40
    (tmp_path / "folder").mkdir()
    (tmp_path / "m.gguf").rename(tmp_path / "folder" / "m.gguf")
    assert_same_bytes(models.load(tmp_path / "folder")(ids), expected(ids))


def test_the_header_is_what_the_package_reads(tmp_path):
    gguf = pytest.importorskip("gguf")
    path = write(tmp_path / "m.gguf", "Q8_0", net.llama_state(CONFIG))
    settings, tensors, data = open_file(path)
    reader = gguf.GGUFReader(path)
    theirs = {k: f.contents() for k, f in reader.fields.items() if not k.startswith("GGUF.")}
    assert settings == theirs
    assert list(tensors) == [t.name for t in reader.tensors]
    for tensor in reader.tensors:
        info = tensors[tensor.name]
        assert info.kind == tensor.tensor_type
        assert info.shape == tuple(reversed(tensor.shape.tolist()))
        raw = data[info.offset : info.offset + tensor.n_bytes]
        assert bytes(raw) == tensor.data.tobytes()
    left, _, _ = open_file(path, ("tokenizer.ggml.tokens",))
    assert left == {**theirs, "tokenizer.ggml.tokens": None}


def test_the_tokenizer(tmp_path):
    pytest.importorskip("tokenizers")
    model = models.load(write(tmp_path / "m.gguf", "F16", net.llama_state(CONFIG)))
    encoded = model.tokenizer.encode("abc 12<|im_end|>")
    assert [TOKENS[i] for i in encoded.ids] == ["ab", "c", "Ġ", "1", "2", "<|im_end|>"]
    assert "".join(model.pieces(encoded.ids)) == "abc 12"
    assert isinstance("".join(model.stream("abc", 5)), str)
    prompt = model.chat_prompt([{"role": "user", "content": "a"}], "b")
    assert prompt == (
        "<|im_start|>system\nb<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"
    )


STRING, ARRAY, U32, U64 = 8, 9, 4, 10
HUGE = 1 << 62
BAD = {
    "empty": (b"", "24|bytes"),
    "another file": (header(start=b"GGML"), "does not begin with GGUF"),
    "version 1": (header(version=1), "version 1"),
    "big-endian": (header(version=3 << 24), "other byte order"),
    "settings beyond the end": (header(count=HUGE), "truncated|twice"),
    "a string beyond the end": (header([("a", STRING, struct.pack("<Q", HUGE))]), "truncated"),
    "an array beyond the end": (
        header([("a", ARRAY, struct.pack("<IQ", U64, HUGE))]),
        "truncated|too large",
    ),
    "strings beyond the end": (
        header([("a", ARRAY, struct.pack("<IQ", STRING, HUGE))]),
        "truncated|too large",
    ),
    "an array of arrays": (header([("a", ARRAY, struct.pack("<IQ", ARRAY, 1))]), "unknown type 9"),
    "an unknown type": (header([("a", 13, b"")]), "unknown type 13"),
    "a key twice": (header([("a", U32, bytes(4))] * 2), "twice"),
    "a tensor twice": (header([], [("a", (1,), 0, 0)] * 2), "twice"),
    "five dimensions": (header([], [("a", (1,) * 5, 0, 0)]), "5 dimensions"),
    "an offset beyond the end": (header([], [("a", (1,), 0, 1 << 40)]), "begins at"),
    "an offset between": (header([], [("a", (1,), 0, 3)]), "begins at 3"),
    "alignment 0": (header([("general.alignment", U32, bytes(4))]), "alignment"),
    "alignment 3": (header([("general.alignment", U32, struct.pack("<I", 3))]), "alignment"),
}


@pytest.mark.parametrize("name", BAD)
def test_malformed_headers(tmp_path, name):
    data, message = BAD[name]
    path = tmp_path / "x.gguf"
    path.write_bytes(data)
    for leave in ((), ("a",)):
        with pytest.raises(ValueError, match=message):
            open_file(path, leave)


def test_every_cut_of_a_header_is_refused(tmp_path):
    whole = header([("a", STRING, text("xyz")), ("b", U32, bytes(4))], [("t", (3,), 0, 0)])
    path = tmp_path / "x.gguf"
    for end in range(len(whole) - 96):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"GGUF"):
            open_file(path)


def test_factors_of_the_rotary_frequencies(tmp_path):
    pytest.importorskip("gguf")
    state, factors = net.llama_state(CONFIG), np.geomspace(1, 8, 16).astype(np.float32)
    found = models.load(write(tmp_path / "m.gguf", "F32", state, factors))
    scaling = {"rope_type": "factors", "factors": factors.tolist()}
    expected = models.load(net.write(tmp_path / "m", {**CONFIG, "rope_scaling": scaling}, state))
    plain = models.load(net.write(tmp_path / "p", CONFIG, state))
    ids = np.arange(20)[None]
    assert_same_bytes(found(ids), expected(ids))
    assert np.abs(found(ids) - plain(ids)).max() > 1e-4


@pytest.mark.parametrize("factors", [np.ones(3, np.float32), np.zeros(16, np.float32)])
def test_factors_that_do_not_fit(tmp_path, factors):
    pytest.importorskip("gguf")
    path = write(tmp_path / "m.gguf", "F32", net.llama_state(CONFIG), factors)
    with pytest.raises(ValueError, match="factors"):
        models.load(path)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (("a", (1 << 40, 1 << 40), 0, 0), "does not fit"),
        (("a", (33,), 8, 0), "does not fit format Q8_0"),
        (("a", (4,), 99, 0), "unknown format 99"),
        (("blk.0.attn_q.weight", (4, 4), 0, 0), "heads"),
        (("rope_freqs.weight", (4, 4), 0, 0), "one dimension"),
        (("rope_freqs.weight", (1 << 40,), 0, 0), "one dimension"),
    ],
)
def test_malformed_tensors(tmp_path, tensor, message):
    pytest.importorskip("gguf")
    path = tmp_path / "x.gguf"
    path.write_bytes(header([("general.architecture", STRING, text("llama"))], [tensor]))
    with pytest.raises(ValueError, match=message):
        models.load(path)


def test_an_unknown_architecture(tmp_path):
    pytest.importorskip("gguf")
    path = tmp_path / "x.gguf"
    path.write_bytes(header([("general.architecture", STRING, text("mamba"))]))
    with pytest.raises(ValueError, match="'mamba'; known are bert, llama"):
        models.load(path)
