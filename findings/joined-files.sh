#!/usr/bin/env bash
# Finding: of files that were joined, or whose Ogg pages are damaged, readers give a part, and no error.
#
# Packages: soundfile 0.14.0 with its libsndfile 1.2.2, av 18.1.0 with its FFmpeg, miniaudio 1.71, numpy 2.4.6.
#
# 1. Two Ogg files one after the other are one valid file, a chain (RFC 3533, section 4). One would expect three seconds
#    of a file of two and one of one. Seen: libsndfile gives the first two seconds, and says that there are no more; FFmpeg
#    gives all three; miniaudio, which reads Vorbis alone, gives two.
# 2. An MP3 joined to another has the first one's Xing header, with the number of its frames, before the frames of both.
#    Seen: libsndfile and miniaudio stop where the header says, FFmpeg reads on.
# 3. A header that counts half of the frames: the same.
# 4. Each Ogg page carries a checksum of its bytes. One bit of a page in the middle of 20 seconds is flipped. One would
#    expect an error, or silence of the page's length. Seen: libsndfile and FFmpeg leave the page out (1.0 s of Opus, 2.7 s
#    of Vorbis) and join what is around it, without an error, while sf.info says 20 seconds. Only the times of FFmpeg's
#    frames show the gap. miniaudio does not look at checksums, and decodes the page with its wrong bit.
#
# The script fails if any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'soundfile==0.14.0' 'av==18.1.0' 'miniaudio==1.71' 'numpy==2.4.6' 2>/dev/null
cd "$folder"
# What goes to stderr is libsndfile's warning that the Xing header's size is off.
"$folder/venv/bin/python" - 2>warnings.txt <<'PYTHON' || { cat warnings.txt >&2; exit 1; }
import sys
from pathlib import Path

import av
import miniaudio
import numpy as np
import soundfile as sf

RATE = 48000
changed = False


def tone(path, seconds, kind, subtype):
    wave = 0.3 * np.sin(2 * np.pi * 220 * np.arange(seconds * RATE) / RATE)
    sf.write(path, wave.astype("float32"), RATE, format=kind, subtype=subtype)
    return path.read_bytes()


def by_soundfile(path):
    return len(sf.read(path)[0])


def by_info(path):
    return sf.info(path).frames


def by_av(path):
    with av.open(str(path)) as container:
        return sum(frame.samples for frame in container.decode(audio=0))


def gaps(path):
    """Seconds that the times of FFmpeg's frames leave out."""
    with av.open(str(path)) as container:
        frames = [(float(f.pts * f.time_base), f.samples / RATE) for f in container.decode(audio=0)]
    return sum(max(0, b[0] - a[0] - a[1]) for a, b in zip(frames, frames[1:]))


def by_miniaudio(path):
    return len(miniaudio.decode_file(str(path), sample_rate=RATE, nchannels=1).samples)


def seen(what, path, expected):
    """Seconds by every reader, to a tenth; None where a reader raises, as miniaudio does for Opus."""
    global changed
    found = []
    for reader in (by_soundfile, by_info, by_av, by_miniaudio):
        try:
            found.append(round(reader(path) / RATE, 1))
        except (sf.LibsndfileError, av.FFmpegError, miniaudio.DecodeError):
            found.append(None)
    words = ", ".join(f"{name} {s}" for name, s in zip(("soundfile", "sf.info", "av", "miniaudio"), found))
    print(f"{what}: {words} s")
    changed |= tuple(found) != expected


print(f"soundfile {sf.__version__}, {sf.__libsndfile_version__}, av {av.__version__}, FFmpeg {av.ffmpeg_version_info}")
first, second, joined = Path("first"), Path("second"), Path("joined")
for kind, subtype, expected in (
    ("OGG", "VORBIS", (2.0, 2.0, 3.0, 2.0)),
    ("OGG", "OPUS", (2.0, 2.0, 3.0, None)),
    ("MP3", "MPEG_LAYER_III", (2.0, 2.0, 3.1, 2.0)),
):
    one, two = tone(first, 2, kind, subtype), tone(second, 1, kind, subtype)
    # The streams of a chain have serial numbers of their own.
    assert kind == "MP3" or one[14:18] != two[14:18]
    joined.write_bytes(one + two)
    seen(f"{subtype}, 2 s and 1 s joined", joined, expected)

data = bytearray(tone(first, 4, "MP3", "MPEG_LAYER_III"))
place = data.index(b"Xing") + 8
count = int.from_bytes(data[place : place + 4], "big")
data[place : place + 4] = (count // 2).to_bytes(4, "big")
first.write_bytes(data)
seen("MPEG_LAYER_III, 4 s, header counts half", first, (2.0, 2.0, 4.0, 2.0))

for subtype, expected in (("VORBIS", (17.3, 20.0, 17.4, 20.0)), ("OPUS", (19.0, 20.0, 19.0, None))):
    data = bytearray(tone(first, 20, "OGG", subtype))
    pages = [n for n in range(len(data)) if data[n : n + 4] == b"OggS"]
    data[pages[len(pages) // 2 + 1] - 5] ^= 1
    first.write_bytes(data)
    seen(f"{subtype}, 20 s, a bit of a page flipped", first, expected)
    print(f"  a gap of {gaps(first):.1f} s in the times of av's frames")
    changed |= gaps(first) < 0.9
sys.exit(changed)
PYTHON
