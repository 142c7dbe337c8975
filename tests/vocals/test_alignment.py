"""Ready-made stems that begin elsewhere than their mixture, or belong to another one."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tests.conftest import singing
from whosings import audio
from whosings.choir.band import draw_palette, play
from whosings.choir.score import compose
from whosings.errors import SeparationError
from whosings.vocals.alignment import MOST_LAG_S, aligned, lag_of
from whosings.vocals.separation import Stems, separate_track
from whosings.vocals.separators import open_separator

RATE = 44_100
SECONDS = 24


def _song(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vocals that rest in more than half of a song, and its band: (samples,) at 44.1 kHz."""
    rng = np.random.default_rng(seed)
    voice = singing(SECONDS, seed)
    voice[: 7 * 16_000] = voice[11 * 16_000 : 20 * 16_000] = 0
    palette = draw_palette(rng)
    band = play(palette, compose(rng, SECONDS, 60, palette.tempo), rng)[: voice.size]
    return tuple(soxr.resample(level * sound, 16_000, RATE) for level, sound in ((0.4, voice), (0.1, band)))


@pytest.fixture(scope="module")
def song():
    return _song(3)


def _late(samples: np.ndarray, lag: int) -> np.ndarray:
    return np.concatenate([np.zeros(lag), samples]) if lag > 0 else samples[-lag:]


def _level(samples: np.ndarray, reference: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(samples**2) / np.mean(reference**2)))


def _separated(folder: Path, mixture: np.ndarray, rate: int = RATE, **stems: np.ndarray) -> Stems:
    (folder / "stems/Song").mkdir(parents=True)
    soundfile.write(folder / "Song.mp3", mixture, RATE)
    for kind, samples in stems.items():
        soundfile.write(folder / f"stems/Song/{kind}.wav", samples, rate)
    return separate_track(folder / "Song.mp3", open_separator(f"stems:{folder / 'stems'}"), folder / "cache")


@pytest.mark.parametrize("lag", [-20_000, -1105, -1, 0, 1, 529, 1105, 20_000])
def test_a_lag_is_found_to_the_sample(tmp_path, song, lag):
    vocals, band = song
    soundfile.write(tmp_path / "song.flac", vocals + band, RATE)
    for sound in (vocals, band):
        soundfile.write(tmp_path / "stem.flac", _late(sound, lag), RATE)
        assert round(lag_of(tmp_path / "stem.flac", tmp_path / "song.flac") * RATE) == lag


def test_stems_that_begin_with_their_mixture_are_read_as_they_are(tmp_path, song):
    soundfile.write(tmp_path / "stem.flac", song[0], RATE)
    read = np.concatenate(list(aligned(tmp_path / "stem.flac", 0.0, 10.0)), axis=1)
    np.testing.assert_array_equal(read, audio.load(tmp_path / "stem.flac").samples)


@pytest.mark.parametrize("lag", [-1105, 1105, 12_345])
@pytest.mark.parametrize("rate", [RATE, 16_000])
def test_the_singer_is_not_left_in_the_instrumental(tmp_path, song, lag, rate):
    """Without correction the difference of two shifted copies is 3 dB louder than the voice."""
    vocals, band = song
    late = _late(vocals, lag)
    stems = _separated(tmp_path, vocals + band, rate, vocals=late if rate == RATE else soxr.resample(late, RATE, rate))
    alone = soxr.resample(vocals, RATE, 16_000)
    found = audio.load(stems.vocals).samples[0, : alone.size]
    assert _level(found - alone[: found.size], alone) < -25
    rest = audio.load(stems.instrumental).samples[0, : alone.size]
    assert _level(rest - soxr.resample(band, RATE, 16_000)[: rest.size], alone) < -20  # MP3's own loss is in it


def test_both_stems_may_begin_elsewhere(tmp_path, song):
    vocals, band = song
    stems = _separated(tmp_path, vocals + band, vocals=_late(vocals, 1105), no_vocals=_late(band, -700))
    alone = soxr.resample(band, RATE, 16_000)
    found = audio.load(stems.instrumental).samples[0, : alone.size]
    assert _level(found - alone[: found.size], alone) < -25


def test_vocals_of_another_song_are_refused(tmp_path, song):
    with pytest.raises(SeparationError, match=r"vocals\.wav: is not in Song\.mp3, which is louder without it"):
        _separated(tmp_path, sum(song), vocals=_song(4)[0])
    assert not list((tmp_path / "cache").rglob("*.flac"))


def test_an_instrumental_of_another_song_is_refused(tmp_path, song):
    with pytest.raises(SeparationError, match=r"no_vocals\.wav: does not add up to Song\.mp3"):
        _separated(tmp_path, sum(song), vocals=song[0], no_vocals=_song(4)[1])


def test_stems_that_are_too_late_are_refused(tmp_path, song):
    vocals = _late(song[0], round(1.5 * MOST_LAG_S * RATE))[: song[0].size]
    with pytest.raises(SeparationError, match="louder without it"):
        _separated(tmp_path, sum(song), vocals=vocals)


def test_what_is_no_stem_is_not_moved(tmp_path, song):
    """An untrained model's output: an offset, and little of the mixture, late."""
    soundfile.write(tmp_path / "song.flac", sum(song), RATE)
    soundfile.write(tmp_path / "stem.flac", 0.1 + 0.05 * _late(sum(song), 300), RATE)
    assert lag_of(tmp_path / "stem.flac", tmp_path / "song.flac") == 0


def test_a_track_that_nobody_sings(tmp_path, song):
    stems = _separated(tmp_path, song[1], vocals=np.zeros_like(song[1]))
    assert not audio.load(stems.vocals).samples.any()
