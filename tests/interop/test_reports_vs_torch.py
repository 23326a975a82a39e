"""What load_state_dict reports, beside torch 2.13: every kind of problem, and every layer."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import forwardpass.nn as ours

torch = pytest.importorskip("torch")

from interop.pairs import HELD, MADE, made, network  # noqa: E402

theirs = torch.nn

SPOILED = {
    "nothing": lambda s: None,
    "missing": lambda s: [s.pop("norm.bias"), s.pop("body.0.weight"), s.pop("scale")],
    "unexpected": lambda s: s.update({"scratch": s["mean"], "body.2.bias": s["mean"]}),
    "unknown": lambda s: s.update({"head.weight": s["mean"], "body.0": s["mean"], "x": s["mean"]}),
    "deep": lambda s: s.update({"body.0.weight.deep": s["mean"], "norm.": s["mean"]}),
    "size": lambda s: s.update({"scale": s["mean"], "body.2.weight": s["body.0.weight"]}),
    "buffer": lambda s: s.update({"mean": s["scale"]}),
    "scalar": lambda s: s.update({"scale": s["scale"][0]}),
    "list": lambda s: s.update({"norm.weight": [1.0, 2.0, 3.0, 4.0]}),
    "none": lambda s: s.update({"norm.weight": None}),
    "all": lambda s: [
        s.pop("embed.weight"),
        s.update({"body.0.bias": s["mean"], "a.b.c": s["mean"], "norm.weight": "text"}),
    ],
    "empty": lambda s: s.clear(),
}


def report(net, state, strict):
    """What load_state_dict returns or raises, without our hint, which torch does not give."""
    try:
        return tuple(net.load_state_dict(copy.copy(state), strict=strict))
    except RuntimeError as error:
        return str(error).partition("\n\tHint: ")[0]


def compare(mine, other, state, strict):
    arrays = {k: v.numpy() if hasattr(v, "numpy") else v for k, v in state.items()}
    assert report(mine, arrays, strict) == report(other, state, strict)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("name", SPOILED)
def test_load_reports(name, strict):
    mine, other = network(ours), network(theirs)
    state = other.state_dict()
    SPOILED[name](state)
    compare(mine, other, state, strict)


# One problem of each kind for any module: (state, its first key or None, its last) to a new state.
ANY = {
    "nothing": lambda s, first, last: {},
    "first missing": lambda s, first, last: {k: v for k, v in s.items() if k != first},
    "last missing": lambda s, first, last: {k: v for k, v in s.items() if k != last},
    "unexpected": lambda s, first, last: {**s, "extra": torch.ones(1), "0.extra": torch.ones(1)},
    "running_mean": lambda s, first, last: {**s, "running_mean": torch.ones(1)},
    "deeper": lambda s, first, last: {**s, f"{last}.x": torch.ones(1)},
    "size": lambda s, first, last: {**s, **{k: torch.ones(7, 1, 9) for k in (first, last) if k}},
    "more dimensions": lambda s, first, last: {k: v[None] for k, v in s.items()},
    "object": lambda s, first, last: {**s, **{k: "text" for k in (last,) if k}},
    "prefix": lambda s, first, last: {f"module.{k}": v for k, v in s.items()},
    "many": lambda s, first, last: {
        "x.y": torch.ones(1),
        **{k: torch.ones(3, 3, 3, 3) for k in s if k != first},
    },
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("name", [*MADE, *HELD])
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_load_reports_of_every_layer(name, strict):
    mine, other = made(name, ours), made(name, theirs)
    state = dict(other.state_dict())
    for spoil in ANY.values():
        spoiled = spoil(state, next(iter(state), None), next(reversed(state), None))
        compare(mine, other, spoiled, strict)
    assert str(mine.load_state_dict(state)) == str(other.load_state_dict(state))
    for key, value in other.state_dict().items():
        assert mine.state_dict()[key].tobytes() == value.numpy().tobytes()


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model."])
def test_a_hint_comes_after_torchs_text(prefix):
    mine, other = network(ours), network(theirs)
    state = {prefix + key: value.numpy() for key, value in other.state_dict().items()}
    with pytest.raises(RuntimeError) as caught:
        mine.load_state_dict(state)
    text, _, hint = str(caught.value).rpartition("\n\t")
    tensors = {key: torch.from_numpy(np.array(value)) for key, value in state.items()}
    assert text == report(other, tensors, True)
    assert hint.startswith(f"Hint: the keys match without '{prefix}'")
