"""docs/numerics.md once more, in plain NumPy: the arithmetic of each operator step by step.

Independent of the C++: if both follow the contract, their bits are equal. Only +, -, *, / and sqrt
of float32 arrays (correctly rounded in NumPy), and fma below.
"""

from __future__ import annotations

import math

import numpy as np

F = np.float32


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a b + c with one rounding: exact product in float64, the sum rounded to odd, then to float32.

    TwoSum gives the float64 sum and its error; where there is an error, the sum is moved to the
    neighbour with an odd last bit, which keeps the final rounding from going wrong (Boldo and
    Melquiond, 2008). test_bits checks it against exact rationals.
    """
    with np.errstate(all="ignore"):
        p = a.astype(np.float64) * b.astype(np.float64)
        z = c.astype(np.float64)
        s = p + z
        t = s - p
        error = (p - (s - t)) + (z - t)
        inexact = np.isfinite(s) & (error != 0)
        even = (s.view(np.int64) & 1) == 0
        toward = np.where(error > 0, np.inf, -np.inf)
        odd = np.where(inexact & even, np.nextafter(s, toward), s)
        return odd.astype(F)


def tree(parts: np.ndarray) -> np.ndarray:
    """64 partials in the last axis: (v0 + v1) + (v2 + v3), then lanes i + (i + 8), +4, +2, +1."""
    v = parts.reshape(*parts.shape[:-1], 4, 16)
    lanes = (v[..., 0, :] + v[..., 1, :]) + (v[..., 2, :] + v[..., 3, :])
    for width in (8, 4, 2, 1):
        lanes = lanes[..., :width] + lanes[..., width : 2 * width]
    return lanes[..., 0]


def _partials(rows: np.ndarray) -> np.ndarray:
    """(R, n) to (R, steps, 64), the end filled with +0."""
    count, n = rows.shape
    steps = max(1, -(-n // 64))
    padded = np.zeros((count, steps * 64), dtype=F)
    padded[:, :n] = rows
    return padded.reshape(count, steps, 64)


def row_sum(rows: np.ndarray, squared: bool = False) -> np.ndarray:
    """Sum (or sum of squares by fma) of each row."""
    parts = _partials(rows)
    total = np.zeros((rows.shape[0], 64), dtype=F)
    for step in range(parts.shape[1]):
        x = parts[:, step]
        total = fma(x, x, total) if squared else total + x
    return tree(total)


def linear(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """P interleaved chains over k, P by the shape of w alone."""
    n, k = w.shape
    count = 64 if n <= 4 and k >= 64 else 4 if n <= 16 else 2 if n <= 32 else 1
    chain = [np.zeros((len(x), n), dtype=F) for _ in range(count)]
    for i in range(k):
        chain[i % count] = fma(x[:, i : i + 1], w[:, i][None], chain[i % count])
    if count == 64:
        total = tree(np.stack(chain, axis=-1))
    elif count == 4:
        total = (chain[0] + chain[1]) + (chain[2] + chain[3])
    else:
        total = chain[0] + chain[1] if count == 2 else chain[0]
    return total if bias is None else total + bias


def conv1d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    stride: int,
    pads: tuple[int, int],
    dilation: int,
    groups: int,
) -> np.ndarray:
    """One chain over (channel of the group, tap), padding as w times +0."""
    padded = np.pad(x, ((0, 0), (0, 0), pads))
    outputs, per_group, taps = w.shape
    size = (padded.shape[2] - dilation * (taps - 1) - 1) // stride + 1
    y = np.zeros((len(x), outputs, size), dtype=F)
    for o in range(outputs):
        first = o // (outputs // groups) * per_group
        for c in range(per_group):
            for tap in range(taps):
                at = tap * dilation
                xs = padded[:, first + c, at : at + (size - 1) * stride + 1 : stride]
                y[:, o] = fma(xs, np.broadcast_to(w[o, c, tap], xs.shape), y[:, o])
    return y if bias is None else y + bias[:, None]


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    stride: tuple[int, int],
    pads: list[tuple[int, int]],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """One chain over (channel of the group, row and column of the kernel), as conv1d."""
    padded = np.pad(x, ((0, 0), (0, 0), *pads))
    outputs, per_group, *kernel = w.shape
    rows, cols = (
        (padded.shape[2 + i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)
    )
    y = np.zeros((len(x), outputs, rows, cols), dtype=F)
    for o in range(outputs):
        first = o // (outputs // groups) * per_group
        for c in range(per_group):
            for i, j in np.ndindex(*kernel):
                at, left = i * dilation[0], j * dilation[1]
                down = slice(at, at + (rows - 1) * stride[0] + 1, stride[0])
                along = slice(left, left + (cols - 1) * stride[1] + 1, stride[1])
                xs = padded[:, first + c, down, along]
                y[:, o] = fma(xs, np.broadcast_to(w[o, c, i, j], xs.shape), y[:, o])
    return y if bias is None else y + bias[:, None, None]


def _met(at: int, tap: int, pad: int, stride: int, dilation: int) -> int | None:
    """The input position that output `at` meets through a tap of a transposed convolution."""
    behind = at + pad - tap * dilation
    return None if behind % stride else behind // stride


def conv_transpose2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    stride: tuple[int, int],
    pad: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    size: tuple[int, int],
) -> np.ndarray:
    """Output by output: one chain over (channel of the group, the taps that meet an input)."""
    channels, per_out, *kernel = w.shape
    height, width = x.shape[2:]
    inner = channels // groups
    y = np.zeros((len(x), groups * per_out, *size), dtype=F)
    for g in range(groups):
        outs = slice(g * per_out, (g + 1) * per_out)
        for r, q in np.ndindex(*size):
            chain = np.zeros((len(x), per_out), dtype=F)
            for c in range(g * inner, (g + 1) * inner):
                for i, j in np.ndindex(*kernel):
                    u = _met(r, i, pad[0], stride[0], dilation[0])
                    v = _met(q, j, pad[1], stride[1], dilation[1])
                    if u is None or v is None:
                        continue  # not a tap of this phase
                    inside = 0 <= u < height and 0 <= v < width
                    value = x[:, c, u, v] if inside else np.zeros(len(x), F)
                    chain = fma(np.broadcast_to(value[:, None], chain.shape), w[c, :, i, j], chain)
            y[:, outs, r, q] = chain
    return y if bias is None else y + bias[:, None, None]


def _reciprocal_root(total: np.ndarray, n: int, eps: float) -> np.ndarray:
    return (F(1) / np.sqrt(total / F(n) + F(eps)))[:, None]


def rms_norm(x: np.ndarray, weight: np.ndarray | None, eps: float) -> np.ndarray:
    y = x * _reciprocal_root(row_sum(x, squared=True), x.shape[1], eps)
    return y if weight is None else y * weight


def layer_norm(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> np.ndarray:
    d = x - (row_sum(x) / F(x.shape[1]))[:, None]
    t = d * _reciprocal_root(row_sum(d, squared=True), x.shape[1], eps)
    if weight is not None and bias is not None:
        return fma(t, np.broadcast_to(weight, t.shape), np.broadcast_to(bias, t.shape))
    if weight is not None:
        return t * weight
    return t if bias is None else t + bias


def softmax(x: np.ndarray, exp: object) -> np.ndarray:
    """exp: the float32 exponential to use (the library's own)."""
    e = exp(x - x.max(axis=1, keepdims=True))  # type: ignore[operator]
    return e * (F(1) / row_sum(e))[:, None]


def recurrent(
    op: str,
    a: dict[str, np.ndarray],
    sigmoid: object,
    tanh: object,
) -> list[np.ndarray]:
    """[y, h] or [y, h, c]; sigmoid and tanh: the float32 functions to use (the library's own)."""
    x, ih, hh = a["input"], a["weight_ih"], a["weight_hh"]
    steps, batch, _ = x.shape
    h = np.zeros((batch, hh.shape[1]), F) if a.get("h0") is None else a["h0"]
    c = np.zeros((batch, ih.shape[0] // 4), F) if a.get("c0") is None else a["c0"]
    y = np.zeros((steps, *h.shape), F)
    for t in range(steps)[:: -1 if a.get("reverse") else 1]:
        p, g = linear(x[t], ih, a.get("bias_ih")), linear(h, hh, a.get("bias_hh"))
        if op == "lstm":
            i, f, m, o = np.split(p + g, 4, axis=1)
            c = fma(sigmoid(f), c, sigmoid(i) * tanh(m))  # type: ignore[operator]
            h = sigmoid(o) * tanh(c)  # type: ignore[operator]
            h = h if a.get("weight_hr") is None else linear(h, a["weight_hr"], None)
        elif op == "gru":
            p, g = np.split(p, 3, axis=1), np.split(g, 3, axis=1)
            r, z = sigmoid(p[0] + g[0]), sigmoid(p[1] + g[1])  # type: ignore[operator]
            n = tanh(fma(r, g[2], p[2]))  # type: ignore[operator]
            h = fma(z, h - n, n)
        elif op == "rnn_tanh":
            h = tanh(p + g)  # type: ignore[operator]
        else:
            h = np.where(p + g < 0, F(0), p + g)
        y[t] = h
    return [y, h, c] if op == "lstm" else [y, h]


LOG2E = F(1.44269502)
EXP2 = [F(c) for c in (0.693147004, 0.240222245, 0.0555065088, 0.00967260543, 0.00133026706)]


def exp2(x: np.ndarray) -> np.ndarray:
    """2^x for x <= 0: whole part n to nearest, degree 5 in the rest, n put back in one rounding."""
    y = np.where(F(-150) > x, F(-150), x)
    n = (y + F(12582912)) - F(12582912)
    r = y - n
    q = np.broadcast_to(EXP2[4], r.shape)
    for c in EXP2[3::-1]:
        q = fma(q, r, np.broadcast_to(c, r.shape))
    p = fma(q, r, np.broadcast_to(F(1), r.shape))
    return np.ldexp(p.astype(np.float64), np.nan_to_num(n).astype(int)).astype(F)


def _chain(a: np.ndarray, b: np.ndarray, start: np.ndarray) -> np.ndarray:
    """start + a[..., i] b[..., i] by fma, i rising."""
    for i in range(a.shape[-1]):
        start = fma(*np.broadcast_arrays(a[..., i], b[..., i], start))
    return start


def attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    mask: np.ndarray | None,
    seen: np.ndarray,
    scale: float,
) -> np.ndarray:
    """One head: q (T, D), k (S, D), v (S, Dv); seen (T, S); a float mask (T, S) or None."""
    scaled = q * F(scale * 1.4426950408889634)
    s = _chain(scaled[:, None, :], k[None, :, :], np.zeros((len(q), len(k)), F))
    if mask is not None:
        s = fma(np.where(seen, mask, F(0)), np.full(s.shape, LOG2E), s)
    s = np.where(seen, s, F(-np.inf))
    m, total = np.full(len(q), F(-np.inf)), np.zeros(len(q), F)
    y = np.zeros((len(q), v.shape[1]), F)
    for first in range(0, len(k), 256):
        block = s[:, first : first + 256]
        after = np.fmax(m, np.fmax.reduce(block, axis=1))
        top = np.where(after == -np.inf, F(0), after)
        c, p = exp2(m - top), exp2(block - top[:, None])
        total, m = fma(total, c, row_sum(p)), after
        y = y * c[:, None]
        for j in range(block.shape[1]):
            added = fma(*np.broadcast_arrays(p[:, j : j + 1], v[first + j], y))
            y = np.where(seen[:, first + j : first + j + 1], added, y)
    return y * (F(1) / np.where(total == 0, F(1), total))[:, None] + F(0)


# --- rotary embeddings: doubles, in + - * / alone ---

LN2_HIGH, LN2_LOW = float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")
HALF_PI = tuple(
    map(float.fromhex, ("0x1.921fbp+0", "0x1.5110bp-22", "0x1.184698p-44", "0x1.3198a2e037073p-69"))
)


def logarithm(x: float) -> float:
    m, e = math.frexp(x)
    if m < 0.70710678118654752:
        m, e = m * 2, e - 1
    s = (m - 1) / (m + 1)
    z, total = s * s, 0.0
    for i in range(21, 2, -2):
        total = (total + 1 / i) * z
    return e * LN2_HIGH + (e * LN2_LOW + 2 * (s + s * total))


def exponential(x: float) -> float:
    n = math.floor(x * 1.4426950408889634 + 0.5)
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    total = 1.0
    for i in range(14, 0, -1):
        total = 1 + total * r / i
    return math.ldexp(total, n)


def sine_and_cosine(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = np.floor(x * 0.63661977236758138 + 0.5)
    r = x
    for part in HALF_PI:
        r = r - n * part
    z, s, c = r * r, np.ones_like(r), np.ones_like(r)
    for i in range(18, 1, -2):
        s = 1 - s * z / (i * (i + 1))
        c = 1 - c * z / (i * (i - 1))
    s = s * r
    turn = n.astype(np.int64) % 4
    return np.choose(turn, [s, c, -s, -c]), np.choose(turn, [c, -s, -c, s])


def rotary_table(first: int, count: int, dim: int, base: float) -> tuple[np.ndarray, np.ndarray]:
    """(cos, sin): positions times base^(-2 i / dim)."""
    rate = -2 * logarithm(base)
    frequency = np.array([exponential(rate * i / dim) for i in range(dim // 2)])
    angle = np.arange(first, first + count, dtype=np.float64)[:, None] * frequency
    sin, cos = sine_and_cosine(angle)
    return cos.astype(F), sin.astype(F)


def rotary_embedding(
    x: np.ndarray, cos: np.ndarray, sin: np.ndarray, interleaved: bool
) -> np.ndarray:
    """x (T, D), cos and sin (T, pairs): fnma(b, s, a c) and fma(a, s, b c)."""
    pairs = cos.shape[-1]
    both = (slice(0, pairs), slice(pairs, 2 * pairs))
    if interleaved:
        both = (slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2))
    first, second = both
    a, b, y = x[:, first], x[:, second], x.copy()
    y[:, first], y[:, second] = fma(-b, sin, a * cos), fma(a, sin, b * cos)
    return y
