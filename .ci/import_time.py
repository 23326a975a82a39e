"""How long `import forwardpass` takes after `import numpy`: reported, never a failure.

    python .ci/import_time.py

The aim is 10 ms. The figure is the least of several processes, from `-X importtime`; the modules
that cost most are listed, so that a new slow import shows.
"""

from __future__ import annotations

import subprocess
import sys

RUNS, SHOWN, AIM_MS = 7, 8, 10


def measure() -> list[tuple[float, str]]:
    """(own milliseconds, name) of each module that forwardpass adds, in one fresh process."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import numpy; import forwardpass"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = []
    for line in run.stderr.splitlines():
        own, _, name = line.removeprefix("import time:").split("|")
        if own.strip().isdecimal():
            rows.append((int(own) / 1000, name.rstrip()))
    names = [name for _, name in rows]
    # A module is printed after those it imports: what follows numpy's own line is ours.
    return [(ms, name.strip()) for ms, name in rows[names.index(" numpy") + 1 :]]


def main() -> None:
    runs = sorted((measure() for _ in range(RUNS)), key=lambda rows: sum(ms for ms, _ in rows))
    total = sum(ms for ms, _ in runs[0])
    print(f"import forwardpass after numpy: {total:.1f} ms (aim: {AIM_MS} ms, {RUNS} runs)")
    for ms, name in sorted(runs[0], reverse=True)[:SHOWN]:
        print(f"  {ms:6.2f} ms  {name}")


if __name__ == "__main__":
    main()
