#!/usr/bin/env bash
# Finding: what torch.set_num_threads sets depends on when a thread was started, and not on which thread asks.
#
# Package: torch 2.13.0, the CPU build with OpenMP. A pool of threads that each compute one thing at a time calls
# torch.set_num_threads(1) in its workers, as its documentation of intra-op parallelism suggests for one thread each.
#
# One would expect that this holds for the process (the main thread then reports 1, too) or for the calling thread alone
# (threads that are started later then have what the main thread has). Seen: neither. The main thread goes on reporting
# and using what it had, the workers have 1, and every thread that is started afterwards has 1, although nobody asked for
# that: what a program computes in later threads slows down for good. Setting the old number in the main thread again
# cures it for threads not yet started.
#
# The script fails if any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' numpy 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from concurrent.futures import ThreadPoolExecutor

import torch


def later() -> int:
    """What a thread has that is started now."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


torch.set_num_threads(4)
seen = {"main at first": torch.get_num_threads(), "a thread started before": later()}
with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as workers:
    seen["the worker that asked for 1"] = workers.submit(torch.get_num_threads).result()
seen["main after that"] = torch.get_num_threads()
seen["a thread started after that"] = later()
torch.set_num_threads(4)
seen["a thread started after main asked for 4"] = later()
print(f"torch {torch.__version__}, parallel by OpenMP: {'OpenMP' in torch.__config__.parallel_info()}")
for name, threads in seen.items():
    print(f"{name}: {threads}")
sys.exit(list(seen.values()) != [4, 4, 1, 4, 1, 4])
PYTHON
