"""A spool gives what a whole-file decode holds, in memory or on disk, and leaves nothing behind."""

import gc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from whosings import audio
from whosings.audio import SAMPLE_RATE
from whosings.errors import AudioError, NonFiniteAudioError, TruncatedAudioError
from whosings.spool import Spool, pieces


@pytest.fixture(params=["memory", "disk"])
def place(request, monkeypatch):
    monkeypatch.setattr("whosings.spool._IN_MEMORY", 1 << 24 if request.param == "memory" else 1000)


def open_files():
    return set(Path("/proc/self/fd").iterdir())


def written(path, seconds, channels, rate=SAMPLE_RATE):
    samples = np.random.default_rng(0).normal(0, 0.2, (round(seconds * rate), channels))
    soundfile.write(path, samples, rate, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "file", [("a.wav", 1, 16_000), ("b.wav", 2, 44_100), ("c.flac", 2, 22_050), ("d.mp3", 1, 48_000)]
)
def test_every_part_is_that_of_the_whole(tmp_path, channels, file):
    name, held, rate = file
    path = written(tmp_path / name, 61.7, held, rate)
    whole, spool = audio.load(path, channels), Spool(path, channels)
    assert (spool.duration_s, spool.start_s, spool.track_id) == (whole.duration_s, 0.0, whole.track_id)
    for start_s, duration_s in [(0, 100), (0, 3), (29.999, 0.01), (30, 31.7), (61, 6), (61.7, 6), (70, 1), (5, 0)]:
        mine, theirs = (sound.cut(start_s, duration_s) for sound in (spool, whole))
        np.testing.assert_array_equal(mine.samples, theirs.samples)
        assert mine.samples.flags.c_contiguous and mine.samples.flags.writeable
        assert (mine.start_s, mine.track_id) == (theirs.start_s, theirs.track_id)
    for piece_s in (3.0, 7.77):
        np.testing.assert_array_equal(np.concatenate(list(pieces(spool, piece_s)), axis=1), whole.samples)


@pytest.mark.usefixtures("place")
def test_bad_files_are_refused_as_a_whole_decode_refuses_them(tmp_path):
    samples = np.zeros((SAMPLE_RATE * 40, 1), np.float32)
    samples[-5] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    whole = written(tmp_path / "cut.wav", 20, 1).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    for name, error in [("nan.wav", NonFiniteAudioError), ("cut.wav", TruncatedAudioError)]:
        with pytest.raises(error):
            Spool(tmp_path / name)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux lists open files there")
def test_what_is_long_lies_on_disk_only_as_long_as_it_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr("whosings.spool._IN_MEMORY", 1000)
    path = written(tmp_path / "a.wav", 3, 1)
    before = open_files()
    spool = Spool(path)
    assert len(open_files() - before) == 1
    del spool
    gc.collect()
    assert open_files() <= before


def test_no_room_for_temporary_files_names_the_recording_and_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr("whosings.spool._IN_MEMORY", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    path = written(tmp_path / "a.wav", 3, 1)
    with pytest.raises(AudioError, match=r"a\.wav: cannot be kept decoded .* TMPDIR"):
        Spool(path)
