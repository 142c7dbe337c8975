#!/usr/bin/env bash
# Finding: pyannote.database reads RTTM that pyannote.core wrote, and loses speakers and recordings by their names.
#
# Packages: pyannote.database 6.1.1, pyannote.core 6.1.0 (which writes the file), pandas 3.1.1.
# RTTM is ten fields between blanks; <NA> stands for no value, and no other text has a meaning of its own.
#
# One would expect what `Annotation.write_rttm` wrote to come back from `load_rttm`. Seen: the reader is pandas' with its
# list of missing values and its quotes. Speakers called NA, None and null all come back as one speaker, who is the number
# nan, so that three people count as one. A recording called NA is missing, with no error. A speaker whose name begins
# with a quotation mark swallows the lines up to the next one, and the speaker between them is gone.
#
# The script fails if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'pyannote.database==6.1.1' 'pyannote.core==6.1.0' 'pandas==3.1.1' 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

from pyannote.core import Annotation, Segment
from pyannote.database.util import load_rttm


def there_and_back(**recordings):
    with open("a.rttm", "w") as file:
        for name, speakers in recordings.items():
            turns = Annotation(uri=name)
            for number, speaker in enumerate(speakers):
                turns[Segment(5 * number, 5 * number + 5)] = speaker
            turns.write_rttm(file)
    found = {name: [str(label) for label in turns.labels()] for name, turns in load_rttm("a.rttm").items()}
    print(f"written {recordings}, read {found}")
    return found


missing = there_and_back(song=["Ann", "NA", "None", "null"])
dropped = there_and_back(song=["Ann"], NA=["Bob"])
swallowed = there_and_back(song=["Ann", '"Cy', "Bob", 'Dee"'])
plain = there_and_back(song=["Ann", "Bob"])
as_seen = (
    sorted(missing["song"]) == ["Ann", "nan"]
    and dropped == {"song": ["Ann"]}
    and len(swallowed["song"]) == 2
    and "Bob" not in swallowed["song"]
    and plain == {"song": ["Ann", "Bob"]}
)
sys.exit(not as_seen)
PYTHON
