#!/usr/bin/env python3
"""Derive every fitted constant of cpp/simd/math.h; needs mpmath and numpy.

    python derive_polynomials.py            print the constants as they stand in math.h
    python derive_polynomials.py --check    compare with math.h; exit status 1 on a difference

Each array is the minimax approximation, polynomial or rational, of a function under a weight:
it minimises max |w(x) (P(x)/Q(x) - f(x))| over an interval (Remez exchange; for a rational the
error's factor Q is taken from the step before, as in Cody's and Maehly's variants). The weight
turns the error into the relative error of the *function that uses the array*, so effort goes
where it is seen. Coefficients are rounded to float32 one by one, lowest order first, and the
rest is fitted again after each: the later ones make up for the rounding of the earlier ones.

The linear systems are solved in 40 digits and the rest is single numpy operations on float64,
so the constants do not depend on a machine's linear algebra library.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import mpmath as mp  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Key = tuple[str, int]  # ("p" or "q", exponent)
Function = Callable[[Any], Any]
LN2_HALF = 0.3466  # a little over ln(2)/2: the reduction's rounding may step over the edge


@dataclass(frozen=True)
class Fit:
    """One approximation P/Q of degrees p and q; Q is 1, or monic of degree q > 0."""

    names: tuple[str, ...]
    f: Function
    low: float
    high: float
    weight: Function
    p: int
    q: int = 0
    points: int = 1000


def evaluate(c: dict[Key, Any], part: str, x: Array) -> Array:
    total = np.zeros_like(x)
    for k in sorted((k for name, k in c if name == part), reverse=True):
        total = total * x + float(c[part, k])
    return total


def exchange(error: Array, wanted: int) -> list[int]:
    """Indices of `wanted` extrema of alternating sign."""
    turns = np.nonzero(np.signbit(error[1:]) != np.signbit(error[:-1]))[0] + 1
    edges = [0, *turns.tolist(), len(error)]
    peaks = [a + int(np.argmax(np.abs(error[a:b]))) for a, b in pairwise(edges)]
    size = np.abs(error)
    while len(peaks) > wanted:  # drop an end, or the smallest neighbouring pair
        pair = min(range(len(peaks) - 1), key=lambda i: max(size[peaks[i]], size[peaks[i + 1]]))
        end = 0 if size[peaks[0]] < size[peaks[-1]] else len(peaks) - 1
        weakest = max(size[peaks[pair]], size[peaks[pair + 1]])
        if len(peaks) - wanted >= 2 and weakest < size[peaks[end]]:
            del peaks[pair : pair + 2]
        else:
            del peaks[end]
    return peaks


class Grid:
    """A fit's function and weight on Chebyshev points."""

    def __init__(self, fit: Fit) -> None:
        steps = [mp.cos(mp.pi * i / (fit.points - 1)) for i in range(fit.points)]
        middle, half = (fit.low + fit.high) / 2, (fit.high - fit.low) / 2
        self.x = np.array([float(middle - half * c) for c in steps])
        self.f = np.array([float(fit.f(mp.mpf(float(v)))) for v in self.x])
        self.w = np.array([float(fit.weight(mp.mpf(float(v)))) for v in self.x])

    def error(self, c: dict[Key, Any]) -> Array:
        quotient: Array = evaluate(c, "p", self.x) / evaluate(c, "q", self.x)
        weighted: Array = (quotient - self.f) * self.w
        return weighted


def level(grid: Grid, free: list[Key], c: dict[Key, Any], reference: list[int]) -> Any:
    """Set the free coefficients so that the error alternates on the reference; its size."""
    size = mp.mpf(0)
    rational = any(part == "q" for part, _ in free)
    for _ in range(30 if rational else 1):
        matrix, right = mp.matrix(len(reference)), mp.matrix(len(reference), 1)
        for i, at in enumerate(reference):
            x, f, w = (mp.mpf(float(v[at])) for v in (grid.x, grid.f, grid.w))
            term = {key: x ** key[1] * (1 if key[0] == "p" else -f) for key in c}
            q_before = sum(mp.mpf(c[key]) * x ** key[1] for key in c if key[0] == "q")
            right[i] = -sum(mp.mpf(c[key]) * term[key] for key in c if key not in free)
            for column, key in enumerate(free):
                matrix[i, column] = term[key]
            matrix[i, len(free)] = (-1) ** i * q_before / w
        solution = mp.lu_solve(matrix, right)
        c.update({key: solution[i] for i, key in enumerate(free)})
        before, size = size, abs(solution[len(free)])
        if abs(size - before) <= size * mp.mpf("1e-14"):
            break
    return size


def remez(grid: Grid, c: dict[Key, Any], free: list[Key], reference: list[int]) -> list[int]:
    """Fit the free coefficients of c in place, from a first reference; the last reference."""
    best, best_error = dict(c), float(np.max(np.abs(grid.error(c))))
    for _ in range(40):
        size = level(grid, free, c, reference)
        error = grid.error(c)
        worst = float(np.max(np.abs(error)))
        if worst < best_error:
            best, best_error = dict(c), worst
        peaks = exchange(error, len(free) + 1)
        if worst <= float(size) * 1.0005 or len(peaks) <= len(free):
            break
        reference = peaks
    c.update(best)
    return reference


def solve(fit: Fit) -> tuple[dict[Key, float], float, float]:
    """Coefficients as float32 values, the error before and after rounding them."""
    grid = Grid(fit)
    keys: list[Key] = []
    for k in range(max(fit.p, fit.q) + 1):
        keys += [("q", k)] * (k <= fit.q) + [("p", k)] * (k <= fit.p)
    one = ("q", fit.q)
    c: dict[Key, Any] = {key: 1.0 if key[0] == "q" else 0.0 for key in keys}
    free = [key for key in keys if key != one]
    last = len(grid.x) - 1
    reference = [round(i * last / len(free)) for i in range(len(free) + 1)]
    reference = remez(grid, c, free, reference)
    exact = float(np.max(np.abs(grid.error(c))))
    while free:
        key = free.pop(0)
        c[key] = float(np.float32(float(c[key])))
        if free:  # one unknown less: one extremum less, at the end where the coefficient acted
            reference = remez(grid, c, free, reference[1:])
    rounded = {key: float(np.float32(float(v))) for key, v in c.items()}
    return rounded, exact, float(np.max(np.abs(grid.error(rounded))))


def exp_tail(r: Any) -> Any:
    return (mp.expm1(r) - r) / r**2 if abs(r) > 1e-8 else mp.mpf(1) / 2 + r / 6


def exp_short(r: Any) -> Any:
    return mp.expm1(r) / r if abs(r) > 1e-12 else mp.mpf(1)


def exp2_short(r: Any) -> Any:
    return mp.expm1(r * mp.log(2)) / r if abs(r) > 1e-12 else mp.log(2)


def log_tail(f: Any) -> Any:
    return (mp.log1p(f) - f + f * f / 2) / f**3 if abs(f) > 1e-9 else mp.mpf(1) / 3


def log_erfc_tail(a: Any) -> Any:
    exact = mp.log(mp.erfc(a)) / a if a > 1e-12 else -2 / mp.sqrt(mp.pi)
    return exact - nearest(-2 / mp.sqrt(mp.pi))


def inverse_normal_tail(a: Any) -> Any:
    """e^(-a^2/2) / Phi(-a), which grows like sqrt(2 pi) a."""
    return 2 * mp.exp(-a * a / 2) / mp.erfc(a / mp.sqrt(2))


def inverse_normal_weight(a: Any) -> Any:
    """Relative up to a = 5, then falling to 1/32: beyond, 1e-5 is what gelu promises."""
    return max(mp.mpf(2) ** -5, mp.mpf(2) ** (-3 * max(a - 5, 0))) / inverse_normal_tail(a)


def zero_safe(weight: Function) -> Function:
    """The same weight where its formula is 0/0, at 0."""
    return lambda x: weight(x if abs(x) > 1e-12 else mp.mpf("1e-12"))


def nearest(value: Any) -> float:
    """The float32 nearest to a value."""
    return float(np.float32(float(value)))


def fits() -> list[Fit]:
    """The arrays, in the order in which they stand in math.h."""
    sqrt_2pi = nearest(mp.sqrt(2 * mp.pi))
    return [
        # e^r ~ 1 + r + r^2 q(r), error relative to e^r - 1
        Fit(
            names=("kExpTail",),
            f=exp_tail,
            low=-LN2_HALF,
            high=LN2_HALF,
            weight=zero_safe(lambda r: r * r / abs(mp.expm1(r))),
            p=4,
        ),
        # e^r ~ 1 + r q(r)
        Fit(
            names=("kExpShort",),
            f=exp_short,
            low=-LN2_HALF,
            high=LN2_HALF,
            weight=lambda r: abs(r) / mp.exp(r),
            p=4,
        ),
        # ln(1 + f) ~ f - f^2/2 + f^3 q(f)
        Fit(
            names=("kLogTail",),
            f=log_tail,
            low=float(mp.sqrt(0.5)) - 1,
            high=float(mp.sqrt(2)) - 1,
            weight=zero_safe(lambda f: f**3 / mp.log1p(f)),
            p=7,
        ),
        # ln(erfc(a)) ~ a (kErfHead + g(a)), error relative to erf(a) = 1 - e^(ln(erfc(a)))
        Fit(
            names=("kErfTail",),
            f=log_erfc_tail,
            low=0.0,
            high=3.95,
            weight=zero_safe(lambda a: a * mp.erfc(a) / mp.erf(a)),
            p=8,
        ),
        # 2^r ~ 1 + r q(r)
        Fit(
            names=("kExp2Short",),
            f=exp2_short,
            low=-0.5,
            high=0.5,
            weight=lambda r: abs(r) * mp.mpf(2) ** -r,
            p=4,
        ),
        # e^(-a^2/2) / Phi(-a) ~ kSqrt2Pi a + P(a) / Q(a), error relative to the whole
        Fit(
            names=("kPhiP", "kPhiQ"),
            f=lambda a: inverse_normal_tail(a) - sqrt_2pi * a,
            low=0.0,
            high=14.5,
            weight=inverse_normal_weight,
            p=3,
            q=4,
        ),
    ]


def numbers() -> dict[str, float]:
    """The single constants."""
    ln2, log2e = mp.log(2), 1 / mp.log(2)
    linear = 2 * mp.sqrt(2 / mp.pi) * log2e
    head = mp.floor(2 * ln2 * 2**15) / 2**15
    exact = {
        "kLog2E": log2e,
        "kLn2High": ln2,
        "kLn2Low": ln2 - nearest(ln2),
        "kErfHead": -2 / mp.sqrt(mp.pi),
        "kGeluTanhLinear": linear,
        "kGeluTanhCubic": linear * mp.mpf("0.044715"),
        "kSqrt2Pi": mp.sqrt(2 * mp.pi),
        "kTwoLn2Head": head,
        "kTwoLn2Rest": 2 * ln2 - head,
    }
    return {name: nearest(value) for name, value in exact.items()}


def literal(value: float) -> str:
    text = f"{value:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def derive() -> tuple[dict[str, list[str]], dict[str, str]]:
    """Name -> literals of the constants, and name -> how well each array approximates."""
    values = {name: [literal(value)] for name, value in numbers().items()}
    notes = {}
    for fit in fits():
        c, exact, rounded = solve(fit)
        for name, part in zip(fit.names, "pq", strict=False):
            degrees = sorted(k for key, k in c if key == part)
            if part == "q":
                degrees.pop()  # monic: the 1 is not stored
            values[name] = [literal(c[part, k]) for k in degrees]
            notes[name] = f"error 2^{np.log2(exact):.2f}, rounded 2^{np.log2(rounded):.2f}"
    return values, notes


def from_header(text: str) -> dict[str, list[str]]:
    """Name -> literals of every `constexpr float` in math.h."""
    pattern = re.compile(r"constexpr float (\w+)(?:\[\])? =\s*([^;]*);")
    return {name: re.sub(r"[{}\s]", "", value).split(",") for name, value in pattern.findall(text)}


def main() -> int:
    parser = argparse.ArgumentParser(description="Derive the constants of cpp/simd/math.h.")
    parser.add_argument("--check", action="store_true", help="compare with math.h")
    arguments = parser.parse_args()
    mp.mp.dps = 40
    header = from_header(
        (Path(__file__).resolve().parent.parent / "simd" / "math.h").read_text("utf-8")
    )
    values, notes = derive()
    order = [name for name in header if name in values]
    order += [name for name in values if name not in header]
    wrong = [name for name in order if header.get(name) != values[name]]
    if arguments.check:
        for name in wrong:
            print(f"{name}: math.h has {header.get(name)}, derived {values[name]}")
        print(f"{len(order) - len(wrong)} of {len(order)} constants agree with math.h")
        return 1 if wrong else 0
    for name in order:
        numbers_text = ", ".join(values[name])
        if name in notes:
            print(f"constexpr float {name}[] = {{{numbers_text}}};  // {notes[name]}")
        else:
            print(f"constexpr float {name} = {numbers_text};")
    return 0


if __name__ == "__main__":
    sys.exit(main())
