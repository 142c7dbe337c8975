#!/usr/bin/env bash
# Finding: on a full disk libsndfile reports success for FLAC, Ogg Vorbis, Ogg Opus and MP3 files whose end is missing.
#
# Packages: soundfile 0.14.0 with its libsndfile 1.2.2, numpy 2.4.6. The full disk is a limit on the size of files
# (RLIMIT_FSIZE, with SIGXFSZ ignored, so that write(2) fails with EFBIG as it fails with ENOSPC on a disk that is full).
# Six seconds of noise are written in pieces of 0.1 s and the file is closed; then the same again with room for all but
# its last 100 bytes.
#
# One would expect an error from write() or from close(), whatever the format. Seen: WAV and AIFF raise "System error" in
# write(). FLAC, Vorbis, Opus and MP3 raise nothing, because what their encoders still hold is written by close(), which
# does not look whether it was. The files then decode shorter without an error, and FLAC cannot be read at all: its header
# still says that its length is unknown, for which soundfile tries to make an array of 2^63 - 1 frames (a ValueError).
# Where more than what close() writes is missing, write() raises in every format.
#
# The script fails if any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'soundfile==0.14.0' 'numpy==2.4.6' 2>/dev/null
cd "$folder"
cat >write.py <<'PYTHON'
import resource
import signal
import sys

import numpy as np
import soundfile as sf

path, kind, subtype, room = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(room), int(room)))
noise = np.random.default_rng(0).normal(0, 0.1, 6 * 48000).astype("float32")
try:
    file = sf.SoundFile(path, "w", 48000, 1, subtype, format=kind)
    for piece in noise.reshape(60, -1):
        file.write(piece)
except sf.LibsndfileError:
    print("write() raises", end="")
    sys.exit()
try:
    file.close()
except sf.LibsndfileError:
    print("close() raises", end="")
else:
    print("success", end="")
PYTHON
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys
from pathlib import Path

import soundfile as sf


def write(path, kind, subtype, room):
    command = [sys.executable, "write.py", path, kind, subtype, str(room)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


changed = False
print(f"soundfile {sf.__version__}, {sf.__libsndfile_version__}")
for kind, subtype, expected in (
    ("WAV", "PCM_16", "write() raises"),
    ("AIFF", "PCM_16", "write() raises"),
    ("FLAC", "PCM_16", "success"),
    ("OGG", "VORBIS", "success"),
    ("OGG", "OPUS", "success"),
    ("MP3", "MPEG_LAYER_III", "success"),
):
    whole, cut = f"whole.{subtype}", f"cut.{subtype}"
    fine = write(whole, kind, subtype, 10**9)
    size = Path(whole).stat().st_size
    told, much = write(cut, kind, subtype, size - 100), write(f"half.{subtype}", kind, subtype, size // 2)
    try:
        left = len(sf.read(cut)[0])
        read = f"{left} of {len(sf.read(whole)[0])} frames"
    except ValueError:
        left, read = 0, "ValueError when read"
    print(f"{kind:4} {subtype:14} 100 of {size} bytes missing: {told}, {read}; half missing: {much}")
    changed |= fine != "success" or told != expected or left >= 6 * 48000 or much != "write() raises"
    changed |= (read == "ValueError when read") is not (kind == "FLAC")
sys.exit(changed)
PYTHON
