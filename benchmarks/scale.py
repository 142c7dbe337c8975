"""Beyond one machine: engines, what a track costs, an index of voices, joins of dumps, and object stores.

Each part is a script of its own, with options of its own:

- ``scale_engines.py``: a Ray cluster against processes of this machine, and throughput by workers
- ``scale_cost.py``: what a million tracks cost
- ``scale_index.py``: indexes of voices, against comparing with all of them
- ``scale_find.py``: ``find`` with the one that was chosen
- ``scale_joins.py``: dumps, duplicates and splits, against the plain way
- ``scale_storage.py``: an object store against a disk

``--part`` runs one of them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import measure

PARTS = ("engines", "cost", "index", "find", "joins", "storage")


def main() -> None:
    given = measure.arguments(__doc__, part={"choices": PARTS, "default": None})
    for part in PARTS if given.part is None else (given.part,):
        print(f"--- {part}")
        script = Path(__file__).with_name(f"scale_{part}.py")
        subprocess.run([sys.executable, script, *(["--quick"] if given.quick else [])], check=True)


if __name__ == "__main__":
    main()
