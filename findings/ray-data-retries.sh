#!/usr/bin/env bash
# Finding: Ray Data tries a row whose process ends again without end, where Ray's own tasks stop after three retries.
#
# Package: ray[data] 2.60.0, Linux. A function given to Dataset.map ends its process at one row (as a decoder does that
# crashes at one file), the first six times.
#
# One would expect an error after three retries, the default of Ray's tasks, or after the limit of errors that
# DataContext.max_errored_blocks sets; with max_errored_blocks=1 the row's block left out. Seen: a process after another
# is begun until the row comes through; with a row that never does, the pipeline neither ends nor reports an error, and
# max_errored_blocks changes nothing, since it counts exceptions and not processes. A task of Ray's own with the same
# function raises WorkerCrashedError after four tries.
#
# The script fails if any of this changes.
set -euo pipefail
folder=$(mktemp -d /tmp/f.XXXXXX)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'ray[data]==2.60.0' 2>/dev/null
export RAY_USAGE_STATS_ENABLED=0 HOME="$folder" TMPDIR="$folder"
cat > "$folder/program.py" <<'PYTHON'
import os
import sys
from pathlib import Path

import ray

folder = Path(sys.argv[1])


def ends_six_times(kind):
    def function(row):
        if row["id"] == 2:
            tried = len(list(folder.glob(f"{kind}-*")))
            (folder / f"{kind}-{tried}").touch()
            if tried < 6:
                os._exit(1)
        return row

    return function


ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
ray.data.DataContext.get_current().max_errored_blocks = 1
rows = ray.data.range(4, override_num_blocks=4).map(ends_six_times("data")).take_all()
tries = len(list(folder.glob("data-*")))
print(f"Ray Data: {len(rows)} rows of 4, after {tries} tries of the third", file=sys.stderr)
try:
    ray.get(ray.remote(ends_six_times("task")).remote({"id": 2}))
    raised = "nothing"
except ray.exceptions.RayError as error:
    raised = type(error).__name__
own = len(list(folder.glob("task-*")))
print(f"a task of Ray's own: {raised} after {own} tries", file=sys.stderr)
sys.exit((len(rows), tries, raised, own) != (4, 7, "WorkerCrashedError", 4))
PYTHON
mkdir "$folder/tries"
"$folder/venv/bin/python" "$folder/program.py" "$folder/tries" 2>&1 > /dev/null | grep -E '^(Ray Data:|a task of)'
echo "as described"
