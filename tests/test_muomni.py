"""μOmni: goldens, caches, codes, text and speech, files, bad input."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forwardpass as fp
from _arrays import assert_same_bytes
from forwardpass import load_file, nn, save_file
from forwardpass.io.safetensors import load_metadata
from forwardpass.models import muomni
from forwardpass.models.muomni.rvq import nearest
from forwardpass.models.sampling import Sampler
from forwardpass.reference.arrays import make

GOLDENS = Path(__file__).parent / "data" / "muomni"
if not GOLDENS.exists():
    pytest.skip("the goldens are in the repository, not in the sdist", allow_module_level=True)

MODELS = {
    "audio-encoder": muomni.AudioEncoder,
    "audio-encoder-ds4": muomni.AudioEncoder,
    "rvq": muomni.RVQ,
    "talker": muomni.Talker,
    "thinker-gqa": muomni.Thinker,
    "thinker-mha": muomni.Thinker,
    "thinker-moe-gelu": muomni.Thinker,
    "vision-encoder": muomni.VisionEncoder,
    "vocoder": muomni.Vocoder,
}
THINKERS = [name for name in MODELS if name.startswith("thinker")]


def golden(name: str) -> tuple[Any, dict[str, np.ndarray]]:
    """The model with a golden's weights, and its inputs and outputs."""
    path = GOLDENS / f"{name}.safetensors"
    tensors = load_file(path)
    model = MODELS[name](**json.loads(load_metadata(path)["config"]))
    state = {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
    model.load_state_dict(state, strict=True)
    assert list(state) == sorted(model.state_dict())
    return model, {k: v for k, v in tensors.items() if not k.startswith("state.")}


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()


def test_there_is_a_golden_of_each():
    assert sorted(path.stem for path in GOLDENS.glob("*.safetensors")) == sorted(MODELS)


@pytest.mark.parametrize("name", THINKERS)
def test_thinker_golden(isa, name):
    model, t = golden(name)
    assert_close(model(t["in.ids"]), t["out.logits"])
    cache = model.new_cache()
    steps = [model(t["in.prompt"], cache=cache)]
    steps += [model(t["in.next"][:, i : i + 1], cache=cache) for i in range(t["in.next"].shape[1])]
    assert_close(np.concatenate(steps, 1), t["out.steps"])


def test_other_goldens(isa):
    for name in ("audio-encoder", "audio-encoder-ds4"):
        model, t = golden(name)
        assert_close(model(t["in.mel"]), t["out.frames"])
        assert_same_bytes(model(t["in.mel"][0]), model(t["in.mel"])[0])
    model, t = golden("vision-encoder")
    cls, grid = model(t["in.image"])
    assert_close(cls, t["out.cls"])
    assert_close(grid, t["out.grid"])
    for one, many in zip(model(t["in.image"][1]), (cls, grid), strict=True):
        assert_same_bytes(one, many[1])
    model, t = golden("talker")
    base, residual = model(t["in.codes"])
    assert_close(base, t["out.base"])
    assert_close(residual, t["out.res"])
    model, t = golden("rvq")
    codes = model.encode(t["in.mel"])
    assert codes.dtype == np.int64
    np.testing.assert_array_equal(codes, t["out.codes"])
    assert_close(model.decode(codes), t["out.decoded"])
    np.testing.assert_array_equal(model.encode(t["in.mel"][:, 3]), codes[:, 3])
    assert_same_bytes(model.decode(codes[:, 3]), model.decode(codes)[:, 3])
    model, t = golden("vocoder")
    assert_close(model(t["in.mel"]), t["out.audio"])
    one = model(t["in.mel"][:1])
    assert_same_bytes(model(t["in.mel"][0]), one[0])


# --- caches ---

CUTS = [[1] * 13, [13], [4, 9], [1, 1, 5, 1, 2, 3], [0, 6, 0, 7]]


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("name", [*THINKERS, "talker"])
def test_cached_decoding_is_the_full_pass(isa, name, cut):
    model, _ = golden(name)
    talker = name == "talker"
    shape = (3, 13, 2) if talker else (3, 13)
    tokens = np.random.default_rng(3).integers(0, 32, shape)
    want = model(tokens) if talker else (model(tokens),)
    cache, pieces, at = model.new_cache(3), [], 0
    for n in cut:
        piece = tokens[:, at : at + n]
        found = model(piece, cache=cache)
        pieces.append(found if talker else (found,))
        at += n
    for i, whole in enumerate(want):
        assert_same_bytes(np.concatenate([piece[i] for piece in pieces], 1), whole)
    for row in range(3):  # and a batch is its rows
        alone = model(tokens[row])
        for i, whole in enumerate(want):
            assert_same_bytes(alone[i] if talker else alone, whole[row])


def test_long_sequences_and_threads():
    """Past the first memory of a cache, and what is worth several threads."""
    fp.manual_seed(1)
    model = muomni.Thinker(vocab=50, n_layers=2, d=64, heads=4, ff=256, use_gqa=True)
    ids = np.random.default_rng(4).integers(0, 50, (1, 400))
    with fp.threads(1):
        want = model(ids)
    with fp.threads(3):
        cache = model.new_cache()
        parts = [ids[:, :250], *np.split(ids[:, 250:265], 15, 1), ids[:, 265:]]
        found = [model(part, cache=cache) for part in parts]
    assert_same_bytes(np.concatenate(found, 1), want)


def test_embeddings_in_place_of_ids():
    model, t = golden("thinker-gqa")
    ids = t["in.ids"]
    embeddings = model.tok_emb(ids)
    assert_same_bytes(model(embeddings=embeddings), model(ids))
    assert_same_bytes(model(embeddings=embeddings[0]), model(ids[0]))
    cache = model.new_cache(2)
    first = model(embeddings=embeddings[:, :5], cache=cache)
    both = np.concatenate([first, model(ids[:, 5:], cache=cache)], 1)
    assert_same_bytes(both, model(ids))


@pytest.mark.parametrize("name", ["thinker-gqa", "thinker-moe-gelu", "talker"])
def test_a_failed_call_leaves_the_cache(name):
    model, _ = golden(name)
    talker = name == "talker"
    tokens = np.random.default_rng(5).integers(0, 32, (1, 8, 2) if talker else (1, 8))
    cache = model.new_cache()
    model(tokens[:, :5], cache=cache)
    held = len(cache)

    def fail(*_: Any) -> None:
        raise RuntimeError("on purpose")

    handle = model.blocks[1].norm2.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        model(tokens[:, 5:], cache=cache)
    handle.remove()
    bad = tokens[:, 5:].copy()
    bad[0, 1] = 10_000
    with pytest.raises(IndexError):
        model(bad, cache=cache)
    with pytest.raises(ValueError, match="shape"):
        model(np.concatenate([tokens, tokens])[:, 5:], cache=cache)
    assert len(cache) == held
    last = model(tokens[:, 5:], cache=cache)
    want = model(tokens)
    assert_same_bytes(last[0] if talker else last, (want[0] if talker else want)[:, 5:])


def test_ctx_is_a_limit():
    model, _ = golden("thinker-mha")  # ctx 64
    ids = np.zeros((1, 65), np.int64)
    with pytest.raises(ValueError, match="65 positions are past ctx=64"):
        model(ids)
    cache = model.new_cache()
    model(ids[:, :64], cache=cache)
    with pytest.raises(ValueError, match="ctx=64"):
        model(ids[:, :1], cache=cache)
    cache.truncate(10)
    assert model(ids[:, :1], cache=cache).shape == (1, 1, 97)


# --- choices that must not depend on the machine ---


def test_nearest_takes_the_first_of_equals(isa):
    rows = np.float32([[1, 0], [0, 1], [1, 0], [-1, 0], [0, 0]])
    x = np.float32([[1, 0], [0.5, 0.5], [-0.5, 0], [9, 9], [0.5, 0]])
    np.testing.assert_array_equal(nearest(x, rows), [0, 0, 3, 0, 0])
    np.testing.assert_array_equal(nearest(x[None, :2], rows), [[0, 0]])
    assert nearest(np.zeros((0, 2), np.float32), rows).shape == (0,)
    big = make("nearest/x", (300, 64)), make("nearest/rows", (1000, 64))
    apart = ((big[0][:, None].astype(float) - big[1]) ** 2).sum(-1)
    np.testing.assert_array_equal(nearest(*big), apart.argmin(-1))


def test_experts_of_equal_share(isa):
    """A router of zeros likes all experts the same: the first ones are taken."""
    fp.manual_seed(2)
    thinker = muomni.Thinker(9, 1, 8, 2, 16, use_moe=True, num_experts=4, num_experts_per_tok=2)
    moe = thinker.blocks[0].moe
    moe.router.weight = np.zeros((4, 8), np.float32)
    x = make("moe/x", (2, 3, 8))
    half = np.float32(0.25) / (np.float32(0.5) + np.float32(1e-8))
    want = half * moe.experts[0](x) + half * moe.experts[1](x)
    assert_same_bytes(moe(x), want)
    assert_same_bytes(moe(x[1:, 1:2]), want[1:, 1:2])


def test_the_vocoders_scale():
    model, t = golden("vocoder")
    mel = t["in.mel"][0]
    flat = np.full_like(mel, 0.25)
    flat[0, 0] += np.float32(5e-7)
    assert_same_bytes(model(flat), model(np.clip(flat, 0, 1)))
    assert_same_bytes(model(np.full_like(mel, 7)), model(np.full_like(mel, 1)))
    assert np.abs(model(mel * 100) - model(mel)).max() < 1e-4


# --- the same values under observation ---


def test_traced_and_summed_up():
    inputs = {
        "thinker-moe-gelu": "in.ids",
        "thinker-mha": "in.ids",
        "talker": "in.codes",
        "audio-encoder": "in.mel",
        "vision-encoder": "in.image",
        "vocoder": "in.mel",
        "rvq": "in.mel",
    }
    for name, key in inputs.items():
        model, t = golden(name)
        want = model(t[key])
        found = fp.trace(model, t[key])[0].arrays
        for got, value in zip(found, want if isinstance(want, tuple) else (want,), strict=True):
            assert_same_bytes(np.array(got), np.ascontiguousarray(value))
        assert f"{sum(p.numel() for p in model.parameters()):,}" in str(fp.summary(model))


# --- the whole ---

SMALL = {
    "thinker": dict(vocab=50, n_layers=2, d=32, heads=4, ff=64, ctx=40, use_gqa=True),
    "audio_encoder": dict(d=16, heads=2, ff=32, layers=1, downsample_factor=8),
    "vision_encoder": dict(img_size=16, patch=8, d=24, layers=1, heads=2, ff=32),
    "talker": dict(d=24, n_layers=1, n_heads=2, ff=32, codebook_size=16),
    "rvq": dict(codebook_size=16, d=8),
    "vocoder": dict(
        upsample_rates=[4, 2], upsample_kernel_sizes=[8, 4], upsample_initial_channel=8
    ),
}


@pytest.fixture(scope="module")
def small() -> muomni.MuOmni:
    fp.manual_seed(6)
    model = muomni.MuOmni(**SMALL)
    for name, parameter in model.named_parameters():  # so that every part is heard
        if parameter.ndim > 1:
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, make(f"small/{name}", parameter.shape))
    return model


IMAGE, MEL = make("whole/image", (3, 16, 16)), make("whole/mel", (33, 128))
PROMPT = np.array([1, 7, 8, 9])


def greedy(model: muomni.MuOmni, prompt: np.ndarray, count: int) -> list[int]:
    """By full passes, without a cache."""
    found: list[int] = []
    for _ in range(count):
        found.append(int(model.thinker(embeddings=prompt)[0, -1].argmax()))
        more = model.thinker.tok_emb(np.array([[found[-1]]]))
        prompt = np.concatenate([prompt, more], 1)
    return found


def test_what_the_thinker_reads(small):
    x = small.embed(PROMPT, IMAGE, MEL)
    assert x.shape == (1, 1 + 5 + 4, 32)
    assert_same_bytes(x[:, :1], small.proj_v(small.vision_encoder(IMAGE[None])[0]))
    assert_same_bytes(x[:, 1:6], small.proj_a(small.audio_encoder(MEL[None])))
    assert_same_bytes(x[:, 6:], small.thinker.tok_emb(PROMPT[None]))
    assert small.embed(np.stack([PROMPT] * 2), np.stack([IMAGE] * 2)).shape == (2, 5, 32)
    with pytest.raises(ValueError, match="one batch"):
        small.embed(np.stack([PROMPT] * 2), IMAGE)


def test_text(small):
    for image, mel in ((None, None), (IMAGE, None), (IMAGE, MEL)):
        want = greedy(small, small.embed(PROMPT, image, mel), 12)
        found = list(small.generate(PROMPT, image, mel, 12, eos=None))
        assert found == want
        assert all(type(token) is int for token in found)
    stop = want[5]
    assert list(small.generate(PROMPT, IMAGE, MEL, 12, eos=stop)) == want[: want.index(stop)]
    assert list(small.generate(PROMPT, max_new_tokens=0)) == []
    assert len(list(small.generate(PROMPT, max_new_tokens=100, eos=None))) == 40 - 4 + 1
    tokens = small.generate(PROMPT, eos=None)  # streamed: the next one is computed when asked for
    assert [next(tokens), next(tokens)] == greedy(small, small.embed(PROMPT), 2)


def test_sampling(small):
    def draw(**options: Any) -> list[int]:
        return list(small.generate(PROMPT, max_new_tokens=20, eos=None, **options))

    plain = draw()
    assert draw(temperature=1.0, rng=7) == draw(temperature=1.0, rng=np.random.default_rng(7))
    assert draw(temperature=9.0, rng=7) != draw(temperature=9.0, rng=8)
    assert draw(temperature=5.0, top_k=1, rng=1) == plain
    assert draw(temperature=5.0, top_p=1e-9, rng=1) == plain
    assert draw(temperature=1e-40, rng=1) == plain
    assert draw(temperature=2.0, top_k=50, rng=3) == draw(temperature=2.0, rng=3)


def test_sampler_draws_as_asked():
    logits = np.log(np.float32([0.05, 0.4, 0.1, 0.4, 0.05]))
    counts = []
    for options in ({}, {"top_k": 2}, {"top_k": 1}, {"top_p": 0.85}, {"top_k": 3, "top_p": 0.5}):
        sampler = Sampler(1.0, rng=0, **options)
        counts.append(np.bincount([sampler(logits) for _ in range(4000)], minlength=5) / 4000)
    for found, want in zip(
        counts,
        (
            [0.05, 0.4, 0.1, 0.4, 0.05],
            [0, 0.5, 0, 0.5, 0],
            [0, 1, 0, 0, 0],  # the first of equal ones
            [0, 4 / 9, 1 / 9, 4 / 9, 0],
            [0, 0.5, 0, 0.5, 0],
        ),
        strict=True,
    ):
        np.testing.assert_allclose(found, want, atol=0.03)
    assert Sampler()(np.float32([1, 3, 3])) == 1
    hot, cold = Sampler(100.0, rng=0), Sampler(0.05, rng=0)
    x = np.float32([0, 1])
    assert 0.4 < np.mean([hot(x) for _ in range(2000)]) < 0.6
    assert np.mean([cold(x) for _ in range(2000)]) == 1


def test_speech(small):
    codes = np.array(list(small.talk(6)))
    assert codes.shape == (6, 2)
    assert codes.dtype == np.int64
    so_far = np.zeros((1, 1, 2), np.int64)
    for frame in codes:  # by full passes
        base, residual = small.talker(so_far)
        assert frame.tolist() == [base[0, -1].argmax(), residual[0, -1].argmax()]
        so_far = np.concatenate([so_far, frame[None, None]], 1)
    audio = small.speak(6)
    assert audio.shape == (6 * 8,)
    assert_same_bytes(audio, small.synthesize(codes))
    assert_same_bytes(audio, small.vocoder(np.ascontiguousarray(small.rvq.decode(codes).T)))
    assert_same_bytes(small.synthesize(codes[None])[0], audio)
    drawn = [small.speak(4, temperature=3.0, top_k=9, rng=seed) for seed in (1, 1, 2)]
    assert_same_bytes(drawn[0], drawn[1])
    assert drawn[0].tobytes() != drawn[2].tobytes()
    more = np.array(list(small.talk(3, np.concatenate([[[0, 0]], codes[:3]]))))
    np.testing.assert_array_equal(more, codes[3:])


def test_folders(small, tmp_path):
    small.save_folder(tmp_path / "parts")
    names = sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert names == sorted(f"{name}.safetensors" for name in (*SMALL, "proj_a", "proj_v"))
    again = muomni.MuOmni.from_folder(tmp_path / "parts")
    want = list(small.generate(PROMPT, IMAGE, MEL, 5, eos=None))
    assert list(again.generate(PROMPT, IMAGE, MEL, 5, eos=None)) == want
    assert_same_bytes(again.speak(2), small.speak(2))

    whole = tmp_path / "whole"
    whole.mkdir()
    small.save(whole / "model.safetensors")
    (whole / "config.json").write_text(json.dumps(SMALL))
    again = muomni.MuOmni.from_folder(whole)
    assert list(again.generate(PROMPT, IMAGE, MEL, 5, eos=None)) == want


def test_folders_without_projections(small, tmp_path):
    """The six components' weights alone: text and speech, and a clear word about the rest."""
    for name in SMALL:
        state = dict(getattr(small, name).state_dict())
        save_file(state, tmp_path / f"{name}.safetensors")
    (tmp_path / "config.json").write_text(
        json.dumps({name: {"config": config} for name, config in SMALL.items()})
    )
    model = muomni.MuOmni.from_folder(tmp_path)
    want = list(small.generate(PROMPT, max_new_tokens=5, eos=None))
    assert list(model.generate(PROMPT, max_new_tokens=5, eos=None)) == want
    with pytest.raises(ValueError, match=r"no proj_v\.safetensors"):
        model.generate(PROMPT, IMAGE)
    (tmp_path / "talker.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"talker\.safetensors"):
        muomni.MuOmni.from_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"thinker": [1]}))
    with pytest.raises(ValueError, match="config of thinker"):
        muomni.MuOmni.from_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        muomni.MuOmni.from_folder(tmp_path / "nowhere")


def test_sizes(small, capsys):
    muomni.breakdown()
    text = capsys.readouterr().out
    for words in ("99,893,760", "2,209,088", "5,524,224", "19,028,992", "32,960", "2,204,065"):
        assert words in text
    assert "120–140M    128,893,089" in text
    out = io.StringIO()
    muomni.breakdown(small, out)
    total = sum(p.numel() for p in small.parameters())
    total -= sum(p.numel() for m in (small.proj_a, small.proj_v) for p in m.parameters())
    assert f"{total:,}" in out.getvalue()


def test_the_tour():
    script = Path(__file__).resolve().parents[1] / "examples" / "muomni_tour.py"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "utf8", str(script), "--small"],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("Talker", "(1, 28, 64)", "15104", "Text, drawn with seed 0:", "VisionEncoder"):
        assert words in done.stdout


# --- bad input ---

BAD = [
    (lambda: muomni.Thinker(heads=3), ValueError, "divisible"),
    (lambda: muomni.Thinker(use_moe=True, num_experts_per_tok=9), ValueError, "at most"),
    (lambda: muomni.Thinker(n_layers=0), ValueError, "n_layers"),
    (lambda: muomni.Thinker(n_layers=1, d=8, heads=8), ValueError, "rotary_dim"),
    (lambda: muomni.AudioEncoder(downsample_factor=2), ValueError, "4 or 8"),
    (lambda: muomni.AudioEncoder(heads=5), ValueError, "divisible"),
    (lambda: muomni.VisionEncoder(img_size=8), ValueError, "patch"),
    (lambda: muomni.RVQ(codebooks=0), ValueError, "codebooks"),
    (lambda: muomni.Vocoder(upsample_rates=(8,)), ValueError, "upsample_kernel_sizes"),
    (lambda: muomni.Vocoder(resblock_dilation_sizes=()), ValueError, "resblock_dilation_sizes"),
]


@pytest.mark.parametrize(("build", "error", "words"), BAD)
def test_bad_sizes(build, error, words):
    with pytest.raises(error, match=words):
        build()


def test_bad_input(small):
    thinker, talker = small.thinker, small.talker
    for call, error, words in (
        (lambda: thinker(), ValueError, "exactly one"),
        (lambda: thinker(PROMPT, small.embed(PROMPT)), ValueError, "exactly one"),
        (lambda: thinker(np.float32([1])), TypeError, "ids.*integers"),
        (lambda: thinker(PROMPT[None, None]), ValueError, "dimensions"),
        (lambda: thinker(np.array([50])), IndexError, "50"),
        (lambda: thinker(np.array([-1])), IndexError, "-1"),
        (lambda: thinker(embeddings=np.zeros((1, 2, 9), np.float32)), ValueError, "embeddings"),
        (lambda: thinker(embeddings=np.zeros((1, 2, 32))), TypeError, "float64"),
        (lambda: thinker(PROMPT, cache="no"), TypeError, "cache"),
        (lambda: thinker(PROMPT, cache=nn.KVCache(9, 2, 8)), ValueError, "2 layers"),
        (lambda: thinker(PROMPT, cache=thinker.new_cache(3)), ValueError, "shape"),
        (lambda: talker(np.zeros((1, 4, 3), int)), ValueError, "codes"),
        (lambda: talker(np.zeros((1, 4, 2))), TypeError, "codes"),
        (lambda: small.audio_encoder(np.zeros((5, 80), np.float32)), ValueError, "128"),
        (lambda: small.audio_encoder(np.zeros((0, 128), np.float32)), ValueError, "frame"),
        (lambda: small.vision_encoder(IMAGE[:, 1:]), ValueError, "3, 16, 16"),
        (lambda: small.rvq.decode(np.zeros((4, 3), int)), ValueError, "codes"),
        (lambda: small.rvq.decode(np.full((4, 2), 16)), IndexError, "16"),
        (lambda: small.rvq.encode(np.zeros((4, 9), np.float32)), ValueError, "128"),
        (lambda: small.vocoder(np.zeros((9, 4), np.float32)), ValueError, "mel"),
        (lambda: small.vocoder(np.zeros((128, 0), np.float32)), ValueError, "empty"),
        (lambda: small.generate(PROMPT, max_new_tokens=-1), ValueError, "max_new_tokens"),
        (lambda: small.generate(PROMPT[:0]), ValueError, "at least one token"),
        (lambda: small.generate(np.zeros((2, 3), int)), ValueError, "one prompt"),
        (lambda: small.generate(np.zeros(41, int)), ValueError, "ctx=40"),
        (lambda: small.generate(PROMPT, temperature=-1.0), ValueError, "temperature"),
        (lambda: small.talk(-1), ValueError, "frames"),
        (lambda: small.talk(1, np.zeros((0, 2), int)), ValueError, "at least one frame"),
    ):
        with pytest.raises(error, match=words):
            call()
