#!/usr/bin/env bash
# Finding: tinytag reads the tags ARTIST and ARTISTS of a FLAC as one, and which comes first decides who the artist is.
#
# Packages: tinytag 2.3.2, mutagen 1.48.1 (which writes the tags, and reads them beside it), soundfile 0.14.0.
# MusicBrainz Picard writes both tags: ARTIST is the credit as it is printed, "Ann feat. Bob", and ARTISTS holds one name
# for each artist.
#
# One would expect `artist` to be the value of ARTIST, and ARTISTS among the other fields, as mutagen has them. Seen: all
# values go into one list in the order of the file. `artist` is "Ann feat. Bob" of one file and "Ann" of the other,
# although both hold the same tags, and nothing tells which name came from which tag.
#
# The script fails if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'tinytag==2.3.2' 'mutagen==1.48.1' 'soundfile==0.14.0' numpy 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import soundfile as sf
from mutagen.flac import FLAC
from tinytag import TinyTag

TAGS = {"ARTIST": ["Ann feat. Bob"], "ARTISTS": ["Ann", "Bob"]}
found = []
for order in (("ARTIST", "ARTISTS"), ("ARTISTS", "ARTIST")):
    sf.write("song.flac", np.zeros(800), 8000)
    file = FLAC("song.flac")
    file.tags.clear()
    file.tags.extend((name, value) for name in order for value in TAGS[name])
    file.save()
    tags, beside = TinyTag.get("song.flac"), FLAC("song.flac")
    print(f"{order[0]} first: tinytag's artist is {tags.artist!r}, all its values {tags.as_dict()['artist']},", end=" ")
    print(f"others {sorted(tags.other.keys() - {'artist'})}; mutagen has {beside['artist']} and {beside['artists']}")
    found.append((tags.artist, tags.as_dict()["artist"], beside["artist"] == TAGS["ARTIST"]))
sys.exit(
    found
    != [
        ("Ann feat. Bob", ["Ann feat. Bob", "Ann", "Bob"], True),
        ("Ann", ["Ann", "Bob", "Ann feat. Bob"], True),
    ]
)
PYTHON
