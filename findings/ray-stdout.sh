#!/usr/bin/env bash
# Finding: Ray writes to a program's standard output, also where it is told to log nothing to the driver.
#
# Package: ray 2.60.0, Linux. A program calls ray.init(log_to_driver=False, logging_level="ERROR"), and a task's process
# ends in the middle, as after a crash of native code.
#
# One would expect silence, or lines on standard error: the task's error is raised where its result is asked for. Seen: a
# thread of the driver prints "A worker died or was killed while executing a task ..." on standard output, coloured, as
# with log_to_driver=True. A program that prints JSON there, a line a result, is read wrongly from then on. The thread's
# name begins with ray_, by which its writes can be told from the program's own.
#
# The script fails if any of this changes.
set -euo pipefail
folder=$(mktemp -d /tmp/f.XXXXXX)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'ray==2.60.0' 2>/dev/null
export RAY_USAGE_STATS_ENABLED=0 HOME="$folder" TMPDIR="$folder"
cat > "$folder/program.py" <<'PYTHON'
import json
import os
import time

import ray

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")


@ray.remote(max_retries=0)
def ends(number):
    if number == 1:
        os._exit(1)
    return number


for number in range(3):
    try:
        print(json.dumps({"item": number, "result": ray.get(ends.remote(number))}), flush=True)
    except ray.exceptions.WorkerCrashedError as error:
        print(json.dumps({"item": number, "error": type(error).__name__}), flush=True)
time.sleep(5)
PYTHON
"$folder/venv/bin/python" "$folder/program.py" > "$folder/out" 2> "$folder/err"
"$folder/venv/bin/python" - "$folder/out" <<'PYTHON'
import json
import sys
from pathlib import Path

lines = [line for line in Path(sys.argv[1]).read_text().splitlines() if line.strip()]
rows, foreign = [], []
for line in lines:
    try:
        rows.append(json.loads(line))
    except ValueError:
        foreign.append(line)
print(f"{len(rows)} lines of the program's, and {len(foreign)} of somebody else's on standard output:")
print(foreign[0][:90] if foreign else "none")
sys.exit(len(rows) != 3 or not any("worker died" in line for line in foreign))
PYTHON
echo "as described"
