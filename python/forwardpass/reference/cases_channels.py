"""The cases of norms by channel, p-norms and bags of embeddings; see ``cases``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from .arrays import make_indices
from .cases import ROWS, Arguments, Case, Namer

# (batch, channels, *sizes) and a number of groups.
GROUPED = (
    *(((2, 4, n), 2) for n in ROWS),
    *(((2, n), 1) for n in ROWS[1:]),
    *(((3, 6, 5, 7), groups) for groups in (1, 2, 3, 6)),
    *(((0, 4, 3), 2), ((1, 32, 12, 12), 8), ((2, 5, 0), 5)),
)
LARGE = ((2, 64, 90, 100), 32)


def _weights(new: Namer, call: Arguments, channels: int) -> Arguments:
    call["weight"] = new("weight", (channels,)) if new.call % 4 else None
    call["bias"] = new("bias", (channels,)) if new.call % 3 else None
    call["eps"] = (1e-5, 1e-3)[new.call % 2]
    return call


def _grouped(name: str, kind: str) -> Iterator[Arguments]:
    new = Namer(name)
    for shape, groups in (*GROUPED, LARGE) if kind == "unit" else GROUPED[::3]:
        new.call += 1
        call: Arguments = {"input": new("input", shape, kind), "num_groups": groups}
        yield _weights(new, call, shape[1])


def _batched(name: str, kind: str) -> Iterator[Arguments]:
    new = Namer(name)
    for shape, _ in (*GROUPED, LARGE) if kind == "unit" else GROUPED[::3]:
        new.call += 1
        call: Arguments = {"input": new("input", shape, kind)}
        call["running_mean"] = new("mean", shape[1:2])
        call["running_var"] = np.abs(new("var", shape[1:2])) + np.float32(0.01)
        yield _weights(new, call, shape[1])


def group_norm() -> list[Case]:
    kinds = ("unit", "wide", "shifted", "subnormal", "sprinkled")
    names = [(f"group_norm/{kind}", kind) for kind in kinds]
    return [Case(name, partial(_grouped, name, k), k != "sprinkled") for name, k in names]


def batch_norm() -> list[Case]:
    kinds = ("unit", "wide", "shifted", "subnormal", "sprinkled", "special")
    names = [(f"batch_norm/{kind}", kind) for kind in kinds]
    return [Case(name, partial(_batched, name, k), k not in kinds[4:]) for name, k in names]


def _normalized(name: str, p: float) -> Iterator[Arguments]:
    new = Namer(name)
    for n in ROWS:
        new.call += 1
        yield {"input": new("input", (3, n)), "p": p, "dim": -1}
    for shape, dim in (
        ((7, 33), 0),
        ((3, 65, 5), 1),
        ((2, 3, 64, 17), -2),
        ((), 0),
        ((500, 300), 1),
    ):
        new.call += 1
        yield {"input": new("input", shape), "p": p, "dim": dim, "eps": 0.5}


def _normalized_kind(name: str, kind: str) -> Iterator[Arguments]:
    new = Namer(name)
    for n in ROWS:
        for p in (2.0, 1.0, float("inf"), 3.0 if kind == "sprinkled" else 0.0):
            new.call += 1
            yield {"input": new("input", (3, n), kind), "p": p, "dim": 1}


def normalize() -> list[Case]:
    powers = (2.0, 1.0, 0.0, 3.0, 0.5, -1.0, float("inf"), float("-inf"))
    cases = [Case(f"normalize/{p}", partial(_normalized, f"normalize/{p}", p)) for p in powers]
    for kind in ("wide", "sprinkled"):
        name = f"normalize/{kind}"
        cases.append(Case(name, partial(_normalized_kind, name, kind), kind == "wide"))
    return cases


def _limited(name: str, kind: str, norm_type: float) -> Iterator[Arguments]:
    """Limits below, at and above the norms of the rows."""
    new = Namer(name)
    for n in ROWS:
        for limit in (0.3, 1.0, 0.6 * n**0.5, 1e30) if kind == "unit" else (1.0,):
            new.call += 1
            call: Arguments = {"input": new("input", (3, n), kind), "norm_type": norm_type}
            yield {**call, "max_norm": limit}
    for shape in ((0, 5), (4, 0), (), (2, 3, 65), *([(500, 300)] if kind == "unit" else [])):
        new.call += 1
        call = {"input": new("input", shape, kind), "norm_type": norm_type}
        yield {**call, "max_norm": 0.5}


def renorm() -> list[Case]:
    powers = (2.0, 1.0, 0.0, 3.0, float("inf"))
    found = [(f"renorm/{p}", "unit", p) for p in powers]
    found += [(f"renorm/{kind}", kind, 2.0) for kind in ("wide", "subnormal", "sprinkled")]
    return [Case(name, partial(_limited, name, k, p), k != "sprinkled") for name, k, p in found]


def _bags(name: str, mode: str, kind: str) -> Iterator[Arguments]:
    new = Namer(name)
    for width in (1, 2, 15, 16, 17, 33, 64, 65, 100, 1000):
        for sizes in (
            (),
            (0,),
            (1,),
            (5, 0, 2, 30, 1),
            (9,) * 12,
            (3,) * (400 if width > 999 else 40),
        ):
            new.call += 1
            ends = np.append(0, np.cumsum(np.array(sizes, dtype=np.int64)))
            count = int(ends[-1])
            call: Arguments = {
                "indices": make_indices(f"{name}/{new.call}/indices", (count,), 30),
                "offsets": ends,
                "weight": new("weight", (30, width), kind),
                "mode": mode,
            }
            if mode == "sum" and new.call % 2:
                call["per_sample_weights"] = new("factors", (count,))
            yield call


def embedding_bag() -> list[Case]:
    found = [(f"embedding_bag/{m}", m, "unit") for m in ("sum", "mean", "max")]
    found += [(f"embedding_bag/{m}/sprinkled", m, "sprinkled") for m in ("sum", "max")]
    return [Case(name, partial(_bags, name, m, k), k == "unit") for name, m, k in found]
