"""Files of every kind whose tags are written, as taggers leave them, and the sound that is in them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import soundfile
from mutagen.aiff import AIFF
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, COMM, ID3, IPLS, TIPL, TIT2, TMCL, TPE1, TXXX
from mutagen.mp4 import MP4
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from tests.conftest import HAS_AV, encode_with_av

RATE = 44_100
COVER = bytes(range(256)) * 40
KINDS = ("24.mp3", "23.mp3", "22.mp3", "bare.mp3", "a.flac", "a.ogg", "a.opus", "24.wav", "24.aiff", "bare.wav") + (
    ("a.m4a",) if HAS_AV else ()
)


def tone(seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * 220 * time) * np.sin(2 * np.pi * 3 * time)).astype(np.float32)


def make(folder: Path, name: str) -> Path:
    """A file by its name in ``KINDS``: with title, artist, cover and another performer, unless it is bare."""
    path = folder / name
    if path.suffix == ".m4a":
        encode_with_av(path, tone()[:, None], RATE)
        file = MP4(path)
        file["\xa9nam"], file["trkn"] = ["Song"], [(3, 9)]
        file["----:com.apple.iTunes:PERFORMER"] = [b"Gil (guitar)"]
        file["----:com.apple.iTunes:iTunSMPB"] = [b" 00000000 00000840 000001CA 00000000003F31F6"]
        file.save()
        return path
    rate = 48_000 if path.suffix == ".opus" else RATE
    arguments = {".ogg": {"subtype": "VORBIS"}, ".opus": {"format": "OGG", "subtype": "OPUS"}}.get(path.suffix, {})
    soundfile.write(path, tone(rate=rate), rate, **arguments)
    if name.startswith("bare"):
        return path
    if path.suffix in (".flac", ".ogg", ".opus"):
        file = {".flac": FLAC, ".ogg": OggVorbis, ".opus": OggOpus}[path.suffix](path)
        file["title"], file["Performer"], file["zzz"] = ["Song"], ["Gil (guitar)"], ["last", "again"]
        if path.suffix == ".flac":
            picture = Picture()
            picture.data, picture.mime = COVER, "image/png"
            file.add_picture(picture)
        file.save()
        return path
    version = int(name[1]) if name[0] == "2" else 4
    tags = ID3()
    tags.add(TIT2(encoding=1, text=["Söng"]))
    tags.add(TPE1(encoding=0, text=["Ann", "Bob"]))
    tags.add(COMM(encoding=0, lang="eng", desc="", text=["hello"]))
    tags.add(TXXX(encoding=1, desc="MOOD", text=["blue"]))
    tags.add(APIC(encoding=0, mime="image/png", type=3, desc="", data=COVER))
    people = [["guitar", "Gil"]]
    if version == 4:
        tags.add(TMCL(encoding=3, people=people))
        tags.add(TIPL(encoding=3, people=[["producer", "Pat"]]))
    else:
        tags.add(IPLS(encoding=1, people=[["producer", "Pat"], *people]))
    if version == 2:
        path.write_bytes(_id3v22() + path.read_bytes())
    elif path.suffix == ".mp3":
        tags.save(path, v2_version=version, v1=2)
    else:
        file = {".wav": WAVE, ".aiff": AIFF}[path.suffix](path)
        file.add_tags()
        for frame in tags.values():
            file.tags.add(frame)
        file.save()
    return path


def _id3v22() -> bytes:
    """Written by hand: mutagen reads this version and does not write it."""

    def frame(name: bytes, body: bytes) -> bytes:
        return name + len(body).to_bytes(3, "big") + body

    frames = frame(b"TT2", b"\0S\xf6ng\0") + frame(b"IPL", b"\0producer\0Pat\0guitar\0Gil\0")
    size = len(frames) + 40
    return b"ID3\2\0\0" + bytes((size >> s) & 0x7F for s in (21, 14, 7, 0)) + frames + b"\0" * 40


def sound(path: Path) -> tuple[int, str]:
    """How many samples a decoder gives, and their hash."""
    if path.suffix == ".m4a":
        import av

        with av.open(str(path)) as container:
            parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
        samples = np.concatenate(parts, axis=1)
        return samples.shape[1], hashlib.sha256(samples.tobytes()).hexdigest()
    samples, _ = soundfile.read(path, dtype="float32")
    return len(samples), hashlib.sha256(samples.tobytes()).hexdigest()
