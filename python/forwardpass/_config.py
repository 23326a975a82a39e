"""show_config(): what this installation is and runs on, for bug reports."""

from __future__ import annotations

from typing import Any, Literal, overload

from forwardpass import info
from forwardpass._terminal import say


@overload
def show_config(mode: Literal["stdout"] = "stdout") -> None: ...


@overload
def show_config(mode: Literal["dicts"]) -> dict[str, dict[str, Any]]: ...


def show_config(mode: str = "stdout") -> dict[str, dict[str, Any]] | None:
    """Print versions, instruction sets, threads and the build; or return them with mode="dicts".

    Like numpy.show_config. Raises ValueError for another mode.

    >>> import forwardpass as fp
    >>> sorted(fp.show_config(mode="dicts"))
    ['Build', 'Machine', 'Python', 'SIMD', 'Threads', 'forwardpass']
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"show_config: mode must be 'stdout' or 'dicts', got {mode!r}")
    config = _config()
    if mode == "dicts":
        return config
    for section, entries in config.items():
        say(f"{section}:")
        for name, value in entries.items():
            say(f"  {name}: {_text(value)}")
    return None


def _config() -> dict[str, dict[str, Any]]:
    facts = info.collect()
    build: Any = facts["build"]
    return {
        "forwardpass": {
            "version": facts["forwardpass"],
            "numerics version": facts["numerics_version"],
        },
        "SIMD": {
            "in use": facts["isa"],
            "chosen by": facts["isa_from"],
            "runs here": facts["available_isas"],
            "built": str(build["instruction_sets"]).split(),
        },
        "Threads": {
            "number": facts["threads"],
            "chosen by": facts["threads_from"],
            "backend": facts["thread_backend"],
            "OpenMP in the build": build["openmp"] == "yes",
        },
        "Build": {
            "compiler": build["compiler"],
            "flags": build["flags"],
            "C++ standard": build["cxx_standard"],
        },
        "Machine": {"platform": facts["platform"]},
        "Python": {"version": facts["python"], "numpy": facts["numpy"]},
    }


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
