"""μOmni as a whole: text and speech, files, the tour, bad input."""

from __future__ import annotations

import io
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forwardpass as fp
from _arrays import assert_same_bytes
from _muomni import IMAGE, MEL, PROMPT, SMALL, small_model
from forwardpass import nn, save_file
from forwardpass.models import muomni
from forwardpass.models.sampling import Sampler


@pytest.fixture(scope="module")
def small() -> muomni.MuOmni:
    return small_model()


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


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text)]


def test_the_tour():
    """It runs, and its numbers are those of the model that it describes."""
    script = Path(__file__).resolve().parents[1] / "examples" / "muomni_tour.py"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "utf8", str(script), "--small"],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    space: dict[str, Any] = runpy.run_path(str(script))
    fp.manual_seed(0)
    model = muomni.MuOmni(**space["SMALL"])
    mel = space["mel_spectrogram"](space["tune"]())
    image = space["picture"](model.vision_encoder.img_size)
    ids = np.arange(1, 13)

    def line(start: str) -> str:
        return next(text for text in lines if text.strip().startswith(start))

    counted = sum(p.numel() for p in model.parameters())
    counted -= sum(p.numel() for m in (model.proj_a, model.proj_v) for p in m.parameters())
    assert f"{counted:,}" in line("total")
    for start, result in (
        ("vision encoder, a picture", model.vision_encoder(image)),
        ("audio encoder", (model.audio_encoder(mel),)),
        ("what the Thinker reads", (model.embed(ids, image, mel),)),
        ("RVQ, the sound as codes", (model.rvq.encode(mel),)),
        ("vocoder", (model.synthesize(model.rvq.encode(mel)),)),
    ):
        assert " ".join(str(r.shape) for r in result) in line(start)
        assert 0 < numbers(line(start))[-1] < 60000  # milliseconds
    drawn = list(model.generate(ids, image, mel, 12, temperature=0.9, top_k=50, rng=0))
    assert numbers(line("Text, drawn"))[1:] == drawn
    audio = model.speak(8, temperature=1.0, rng=0)
    said = numbers(line("Speech"))
    assert said[:2] == [8, len(audio)]
    assert said[2:] == [float(f"{audio.min():.3f}"), float(f"{audio.max():.3f}")]
    maps = space["responses"](model.vision_encoder, fp.trace(model.vision_encoder, image[None]))
    assert [name for name, _ in maps] == ["patches", "block 1", "block 2", "block 3"]
    for name, values in maps:  # each layer has a picture, and says how far it goes
        assert values.shape == (8, 8)
        assert values.min() >= 0
        assert f"{name}, up to {values.max():.3g}" in done.stdout
    assert done.stdout.endswith(space["beside"](maps) + "\n")


def test_the_tour_draws(tmp_path):
    pytest.importorskip("matplotlib")
    script = Path(__file__).resolve().parents[1] / "examples" / "muomni_tour.py"
    space = runpy.run_path(str(script))
    maps = [(f"block {i}", np.full((4, 4), i, np.float32)) for i in range(9)]
    space["plot"](str(tmp_path / "seen.png"), np.zeros((3, 4, 4), np.float32), maps)
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")


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
