"""`forwardpass info`: what is installed and what it will run on."""

from __future__ import annotations

import os
import platform

import numpy as np

import forwardpass
from forwardpass import _core
from forwardpass._terminal import say


def collect() -> dict[str, object]:
    """The facts, in the order in which they are shown."""
    forced = os.environ.get("FORWARDPASS_ISA")
    return {
        "forwardpass": forwardpass.__version__,
        "numerics_version": forwardpass.numerics_version,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "isa": forwardpass.isa(),
        "isa_from": f"FORWARDPASS_ISA={forced}" if forced else "best of this machine",
        "available_isas": list(forwardpass.available_isas()),
        "threads": forwardpass.get_num_threads(),
        "threads_from": _core.thread_source(),
        "thread_backend": _core.thread_backend(),
        "build": dict(_core.build_info()),
    }


def run(as_json: bool = False) -> int:
    facts = collect()
    if as_json:
        import json

        say(json.dumps(facts, indent=2))
        return 0
    build = facts.pop("build")
    assert isinstance(build, dict)
    isa_from, threads_from = facts.pop("isa_from"), facts.pop("threads_from")
    names = {
        "numerics_version": "numerics version",
        "isa": "instruction set",
        "available_isas": "available",
        "thread_backend": "thread backend",
    }
    notes = {"isa": isa_from, "threads": threads_from}
    shown = {names.get(key, key): _text(value, notes.get(key)) for key, value in facts.items()}
    shown |= {f"build: {key}": str(value) for key, value in build.items()}
    width = max(map(len, shown))
    for name, text in shown.items():
        say(f"{name:<{width}}  {text}")
    return 0


def _text(value: object, note: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{text}  ({note})" if note else text
