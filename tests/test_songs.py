"""Generated songs: stems that add up, levels as asked, files that can be made again."""

import hashlib

import numpy as np
import pytest
import soundfile

from whosings.audio import SAMPLE_RATE
from whosings.catalogue.manifest import read_manifest
from whosings.choir.songs import MANIFEST, draw_singer, record, write_choir


def active_rms(stem: np.ndarray) -> float:
    """RMS of what sounds, with the stem brought to the level at which it is generated."""
    stem = stem.astype(np.float64) * 0.9 / np.abs(stem).max()
    return float(np.sqrt(np.mean(stem[np.abs(stem) > 0.01] ** 2)))


@pytest.mark.parametrize("voice_db", [-6.0, 0.0, 3.0, 10.0])
def test_stems_add_up_and_stand_at_the_level_asked_for(voice_db):
    song = record(draw_singer(0, 1), 0, 0, 5.0, voice_db)
    np.testing.assert_allclose(song.vocals + song.instrumental, song.mixture, atol=1e-6)
    voice, band = (active_rms(stem) * np.abs(stem).max() for stem in (song.vocals, song.instrumental))
    assert 20 * np.log10(voice / band) == pytest.approx(voice_db, abs=0.01)


def test_songs_are_finite_and_within_limits():
    for number in range(8):
        song = record(draw_singer(7, number), 7, number, 4.0)
        stems = (song.mixture, song.vocals, song.instrumental)
        assert len({stem.shape for stem in stems}) == 1
        assert all(stem.dtype == np.float32 and np.isfinite(stem).all() for stem in stems)
        assert max(np.abs(stem).max() for stem in stems) == pytest.approx(0.95, abs=1e-5)
        assert min(np.abs(stem).max() for stem in stems) > 0.1
        assert song.mixture.size >= 4 * SAMPLE_RATE


def test_seeds_numbers_and_singers_each_change_the_song():
    def tune(seed: int, singer: int, number: int) -> bytes:
        return record(draw_singer(seed, singer), seed, number, 2.0).mixture.tobytes()

    assert tune(0, 0, 0) == tune(0, 0, 0)
    assert len({tune(*key) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}) == 4
    assert draw_singer(0, 12).name == "singer-012"


def spectrum(stem: np.ndarray) -> np.ndarray:
    """Long-term average spectrum of what sounds, dB in 40 bands."""
    frames = stem[: stem.size // 1024 * 1024].reshape(-1, 1024)
    frames = frames[np.abs(frames).max(axis=1) > 0.02] * np.hanning(1024)
    power = (np.abs(np.fft.rfft(frames)) ** 2).mean(axis=0)
    bands = np.array([band.mean() for band in np.array_split(power[4:], 40)])
    level = 10 * np.log10(bands + 1e-12)
    return level - level.mean()


def test_two_singers_differ_more_than_two_songs_of_one():
    singers = [[spectrum(record(draw_singer(0, s), 0, n, 6.0).vocals) for n in range(2)] for s in range(6)]
    same = [np.linalg.norm(first - second) for first, second in singers]
    other = [np.linalg.norm(singers[a][0] - singers[b][1]) for a in range(6) for b in range(6) if a != b]
    assert np.mean(other) > 1.5 * np.mean(same)


def hashes(folder) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_files_and_manifest(tmp_path):
    steps = []
    made = write_choir(tmp_path, singers=2, songs=2, duration_s=3.0, seed=5, progress=lambda: steps.append(1))
    assert len(steps) == 4
    read = read_manifest(tmp_path / MANIFEST)
    assert [track.track_id for track in read.tracks] == [
        "singer-000/00",
        "singer-000/01",
        "singer-001/00",
        "singer-001/01",
    ]
    assert {singer: len(tracks) for singer, tracks in read.by_singer.items()} == {"singer-000": 2, "singer-001": 2}
    assert [track.sha256 for track in read.tracks] == [track.sha256 for track in made.tracks]
    for number, track in enumerate(read.tracks):
        sounds = []
        for path in (track.path, track.vocals_path, track.instrumental_path):
            assert path.resolve().is_relative_to(tmp_path.resolve())
            samples, rate = soundfile.read(path)
            assert rate == SAMPLE_RATE
            assert samples.ndim == 1
            sounds.append(samples)
        mixture, vocals, instrumental = sounds
        np.testing.assert_allclose(vocals + instrumental, mixture, atol=2 / 32768)
        expected = record(draw_singer(5, number // 2), 5, number % 2, 3.0)
        np.testing.assert_allclose(vocals, expected.vocals, atol=1 / 32768)
        assert hashlib.sha256(track.path.read_bytes()).hexdigest() == track.sha256
        assert track.licence == "CC0-1.0"
        assert not track.cloned


def test_what_is_missing_is_made_again_and_the_rest_is_kept(tmp_path):
    write_choir(tmp_path, singers=2, songs=1, duration_s=2.0, seed=3)
    before = hashes(tmp_path)
    assert len(before) == 2 * 3 + 1
    for name in before:
        (tmp_path / name).unlink()
        write_choir(tmp_path, singers=2, songs=1, duration_s=2.0, seed=3)
        assert hashes(tmp_path) == before, name
    kept = tmp_path / "songs" / "singer-000" / "song-00.flac"
    stamp = kept.stat().st_mtime_ns
    more = write_choir(tmp_path, singers=2, songs=2, duration_s=2.0, seed=3)
    assert kept.stat().st_mtime_ns == stamp
    assert len(more.tracks) == 4
    after = hashes(tmp_path)
    assert all(after[name] == value for name, value in before.items() if name != MANIFEST)


def test_a_folder_can_be_moved(tmp_path):
    write_choir(tmp_path / "a", singers=1, songs=1, duration_s=2.0)
    (tmp_path / "a").rename(tmp_path / "b")
    track = read_manifest(tmp_path / "b" / MANIFEST).tracks[0]
    assert all(path.exists() for path in (track.path, track.vocals_path, track.instrumental_path))
