"""Complex numbers and Fourier transforms of torch modules, through forwardpass.from_torch."""

from __future__ import annotations

import numpy as np
import pytest

import forwardpass

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")

BOUND = 5e-6  # of the largest number: a transform sums up to 512 products in float32


class Rotated(torch.nn.Module):
    """Rotary embedding by complex numbers, as the first Llama has it."""

    def __init__(self):
        super().__init__()
        angles = torch.outer(torch.arange(16), 100.0 ** (-torch.arange(8) / 8))
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles))

    def forward(self, x):
        z = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(z * self.turns.view(1, 16, 1, 8)).flatten(3)


class Spectrum(torch.nn.Module):
    """There, changed, and back; the settings are torch.stft's."""

    def __init__(self, n_fft, hop, width=None, back=True, **settings):
        super().__init__()
        self.sizes = {"n_fft": n_fft, "hop_length": hop, "win_length": width or n_fft}
        self.back, self.settings = back, settings
        self.register_buffer("window", torch.hann_window(width or n_fft))

    def forward(self, x):
        args = self.sizes | {"window": self.window} | self.settings
        z = torch.stft(x, **args, return_complex=True)
        if not self.back:
            return z.abs(), z
        args.pop("pad_mode", None)
        return z.abs() ** 2, torch.istft(z * (1 + 0.5j), **args)


class Function(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def compared(module, x, dynamic=None, other=None):
    """The program, its results held against torch's, also after saving and for another input."""
    program = forwardpass.from_torch(module.eval(), (x,), dynamic=dynamic)
    for example in (x, other if other is not None else x):
        want = module(example)
        want = want if isinstance(want, tuple) else (want,)
        got = program(example.resolve_conj().numpy())
        got = got if isinstance(got, tuple) else (got,)
        for y, t in zip(got, want, strict=True):
            t = t.resolve_conj().resolve_neg().numpy()
            assert (y.shape, y.dtype) == (t.shape, t.dtype)
            assert np.abs(y - t).max() <= BOUND * np.abs(t).max()
    return program


def test_rotary(tmp_path):
    x = torch.randn(2, 16, 3, 16)
    program = compared(Rotated(), x, {0: "batch"}, torch.randn(5, 16, 3, 16))
    assert "linear" not in str(program.summary())
    program.save(tmp_path / "rotary.safetensors")
    again = forwardpass.load(tmp_path / "rotary.safetensors")
    assert again(x.numpy()).tobytes() == program(x.numpy()).tobytes()


@pytest.mark.parametrize(
    ("module", "samples"),
    [
        (Spectrum(64, 16), 400),
        (Spectrum(64, 16, 48, center=False, back=False), 400),
        (Spectrum(63, 20, back=False, pad_mode="constant"), 400),
        (Spectrum(64, 16, normalized=True), 400),
        (Spectrum(64, 16, onesided=False, back=False), 400),
        (Spectrum(400, 160, back=False), 1600),
        (Spectrum(1024, 256), 6000),
        (Spectrum(2048, 512), 9000),  # split, and added up frame by frame
    ],
)
def test_stft(module, samples):
    """Whole batches and single signals."""
    compared(module, torch.randn(2, samples), {0: "batch"}, torch.randn(3, samples))
    compared(module, torch.randn(samples))


def test_stft_of_any_length():
    module = Spectrum(64, 16, back=False)
    compared(module, torch.randn(2, 400), {0: "batch", 1: "time"}, torch.randn(1, 731))


@pytest.mark.parametrize("n", [1, 2, 7, 60, 509, 512, 1024, 1500, 4096])
def test_lengths(n):
    """Odd, even, prime, and those that are split."""

    def both_ways(x):
        return torch.fft.irfft(torch.fft.rfft(x), n=n), torch.fft.fft(x), torch.fft.ifft(x)

    compared(Function(both_ways), torch.randn(3, n))


TRANSFORMS = {
    "dimensions": lambda x: (
        torch.fft.rfft2(x, norm="ortho"), torch.fft.fftn(x), torch.fft.fft(x, dim=0, n=5),
        torch.fft.irfft2(torch.fft.rfft2(x), s=x.shape[-2:]), torch.fft.ifft2(x, norm="forward"),
    ),
    "mixing": lambda x: torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real,  # FNet
    "a long convolution": lambda x: torch.fft.irfft(
        torch.fft.rfft(x, n=16) * torch.fft.rfft(x.flip(-1), n=16), n=16
    ),
    "hermitian": lambda x: (torch.fft.hfft(x), torch.fft.ihfft(x)),
    "shifts": lambda x: (torch.fft.fftshift(x), torch.fft.ifftshift(torch.fft.fft2(x))),
    "frequencies": lambda x: x * torch.fft.fftfreq(6, 0.5) + torch.fft.rfftfreq(10),
    "windows": lambda x: x * torch.hamming_window(6) * torch.kaiser_window(6, False, 8.0),
    "arithmetic": lambda x: (
        torch.complex(x, x + 1) / (x + 2j), 1 / torch.complex(x + 9, x), x * 2j - x, 3 - x * 1j,
        torch.complex(x, x) ** 2, torch.exp(torch.complex(x, x)), torch.polar(x.abs(), x),
        torch.add(x * 1j, x, alpha=3), torch.complex(x, x).angle(), (x * 1j).conj().imag,
    ),
    "products": lambda x: (
        torch.complex(x, -x) @ torch.complex(x, x).transpose(-1, -2),
        torch.einsum("bij,bkj->bik", x * 1j, x + 1j), (x * 1j) @ x[0, 0].to(torch.complex64),
    ),
    "shapes": lambda x: (
        torch.stack([x * 1j, x + 0j]), torch.cat([x * 1j, x], 1), (x * 1j).sum(1),
        torch.where(x > 0, x * 1j, x), (x + 1j).mean((0, 2), keepdim=True),
        torch.nn.functional.pad(x * 1j, (1, 2), value=3.0),
        torch.view_as_real((x + 1j)[:, 1:].permute(2, 0, 1)), (x * 1j).to(torch.complex64)[0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMS)
def test_functions(name):
    compared(Function(TRANSFORMS[name]), torch.randn(2, 4, 6))


def test_complex_inputs():
    """An input is complex as well, by its dtype."""
    z = torch.randn(3, 8, dtype=torch.complex64)
    program = compared(Function(lambda z: torch.fft.ifft(z * 2).abs()), z)
    with pytest.raises(TypeError, match="must be complex64, got float32"):
        program(np.zeros((3, 8), np.float32))


def test_bits_and_threads():
    """Spectra of a batch, its items, and with any number of threads: the same bytes."""
    module, x = Spectrum(1024, 256, back=False), torch.randn(4, 5000)
    program = forwardpass.from_torch(module, (x,), dynamic={0: "batch"})
    whole = program(x.numpy())[0]
    for n in (1, 2, 3):
        with forwardpass.threads(n):
            assert program(x.numpy())[0].tobytes() == whole.tobytes()
    parts = np.concatenate([program(x[i : i + 1].numpy())[0] for i in range(4)])
    assert parts.tobytes() == whole.tobytes()


@pytest.mark.parametrize(
    ("function", "x", "message"),
    [
        (torch.fft.fft, torch.randn(2, 2053), "2053 numbers, which has no factors"),
        (torch.fft.fft, torch.randn(2, 8, dtype=torch.float64), "float64"),
        (lambda x: torch.polar(x, x), torch.randn(3, dtype=torch.float64), "polar in float64"),
        (torch.angle, torch.randn(3, dtype=torch.complex128), "angle in float64"),
        (torch.exp, torch.randn(3, dtype=torch.complex128), "exp in float64"),
        (torch.fft.fft, torch.randn(2, 1042), "521 numbers, which has no factors"),
        (lambda x: (x * 1j).sqrt(), torch.randn(3), "sqrt.* of complex numbers"),
        (lambda x: (x * 1j) ** 3, torch.randn(3), "other than squares"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(function, x, message):
    with pytest.raises(NotImplementedError, match=message):
        forwardpass.from_torch(Function(function), (x,))


def test_a_length_that_varies_is_refused():
    with pytest.raises(NotImplementedError, match="along a size that varies"):
        forwardpass.from_torch(Function(torch.fft.rfft), (torch.randn(2, 64),), dynamic={1: "time"})
