"""Stems of whole tracks: streaming, spans, the cache, several processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import singing
from tests.separation_models import MEMORY, Filter, save_safetensors, tiny_demucs
from whosings import audio
from whosings.errors import (
    ConfigError,
    MissingFileError,
    NonFiniteAudioError,
    SeparationError,
    TooShortError,
    WhosingsError,
)
from whosings.vocals.activity import Activity
from whosings.vocals.separation import SeparationJob, Stems, separate_many, separate_track
from whosings.vocals.separation_model import Windows
from whosings.vocals.streaming import FADE_S, WHOLE, Span, Tape, sung_spans, vocals_of

ROOT = Path(__file__).parents[2]
RATE = 16_000


def _noise(seconds: float, rate: int = 8000, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 0.1, (channels, round(seconds * rate))).astype(np.float32)


def _tape(samples: np.ndarray, block: int = 1777) -> Tape:
    return Tape(samples[:, first : first + block] for first in range(0, samples.shape[1], block))


def _streamed(samples: np.ndarray, separator: Filter, spans=WHOLE) -> np.ndarray:
    return np.concatenate(list(vocals_of(_tape(samples), separator, spans)), axis=1)


def _one_pass(samples: np.ndarray, separator: Filter) -> np.ndarray:
    return separator(samples[None])[0].mean(axis=0, keepdims=True)


def _activity(*probability: float) -> Activity:
    return Activity(np.arange(len(probability)) * 3.0, np.array(probability), "test")


def _write(path: Path, seconds: float, rate: int = RATE, channels: int = 1) -> Path:
    soundfile.write(path, _noise(seconds, rate, channels).T, rate)
    return path


@pytest.fixture
def song(tmp_path):
    return _write(tmp_path / "song.wav", 12)


# Streaming


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("samples", [1, 7999, 8000, 8001, 15_000, 15_001, 40_123])
def test_windows_joined_are_one_pass(samples, batch):
    separator = Filter(windows=Windows(8000, 1000, MEMORY, batch))
    mixture = _noise(6)[:, :samples]
    np.testing.assert_allclose(_streamed(mixture, separator), _one_pass(mixture, separator), atol=1e-6)


def test_windows_without_their_context_are_not():
    """The comparison above can fail: the filter reaches over a window's edge."""
    separator = Filter(windows=Windows(8000, 1000, 0))
    mixture = _noise(5)
    assert np.abs(_streamed(mixture, separator) - _one_pass(mixture, separator)).max() > 1e-3


@pytest.mark.parametrize("batch", [1, 3])
def test_spans_are_cut_out_of_one_pass(batch):
    separator = Filter(windows=Windows(8000, 1000, MEMORY, batch))
    mixture = _noise(40)
    spans = (Span(0.0, 4.0), Span(9.0, 21.5), Span(36.0, 43.0))
    found, whole = _streamed(mixture, separator, spans)[0], _one_pass(mixture, separator)[0]
    assert found.shape == whole.shape
    fade = round(FADE_S * 8000)
    for first, last in ((0, 4 * 8000 - fade), (9 * 8000 + fade, 172_000 - fade), (36 * 8000 + fade, whole.size)):
        np.testing.assert_allclose(found[first:last], whole[first:last], atol=1e-6)
    assert not found[4 * 8000 : 9 * 8000].any()
    assert not found[172_000 : 36 * 8000].any()
    heard = sum(shape[0] * shape[2] for shape in separator.calls) / 8000
    assert heard - 40 < 1.35 * (4 + 12.5 + 4 + 4)  # `_one_pass` heard the 40


def test_spans_fade_in_and_out_without_a_click():
    steady = np.full((2, 80_000), 0.5, np.float32)
    separator = _Same()
    found = _streamed(steady, separator, (Span(3.0, 6.0),))[0]
    assert np.abs(np.diff(found)).max() < 0.5 / (FADE_S * 8000) + 1e-6
    assert found[: 3 * 8000].max() == 0
    assert found[4 * 8000] == 0.5


class _Same(Filter):
    def __call__(self, mixtures):
        return mixtures


@pytest.mark.parametrize("spans", [(), (Span(60.0, 63.0),), (Span(10.0, 13.0),)])
def test_spans_beyond_the_end_are_silence(spans):
    separator = Filter()
    found = _streamed(_noise(10), separator, spans)
    assert found.shape == (1, 80_000)
    assert not found.any()


def test_digital_silence_is_not_given_to_the_model():
    separator = Filter()
    mixture = np.concatenate([_noise(3), np.zeros((2, 80_000), np.float32)], axis=1)
    np.testing.assert_allclose(_streamed(mixture, separator)[0], _one_pass(mixture, Filter())[0], atol=1e-6)
    assert sum(shape[2] for shape in separator.calls) <= 4 * 8000
    assert not _streamed(np.zeros((2, 9000), np.float32), separator).any()


def test_a_tape_forgets_what_it_may():
    tape = _tape(_noise(10), block=1000)
    np.testing.assert_array_equal(tape.read(500, 2500), _noise(10)[:, 500:2500])
    tape.forget(2000)
    np.testing.assert_array_equal(tape.read(2000, 2001), _noise(10)[:, 2000:2001])
    assert tape.end == inf
    tape.forget(70_500)  # decodes what it drops
    assert tape.read(79_000, 99_000).shape == (2, 1000)
    assert tape.end == 80_000


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_output_that_is_not_finite_is_refused(bad):
    class Broken(Filter):
        def __call__(self, mixtures):
            return np.full_like(mixtures, bad)

    with pytest.raises(SeparationError, match="filter: gave NaN or infinite"):
        _streamed(_noise(3), Broken())


def test_output_of_another_shape_is_refused():
    class Broken(Filter):
        def __call__(self, mixtures):
            return mixtures[:, :, 1:]

    with pytest.raises(SeparationError, match="shape"):
        _streamed(_noise(3), Broken())


@pytest.mark.parametrize("wrong", [(100, 60), (100, 0), (100, 20, 10), (100, 20, -1), (100, 20, 0, 0)])
def test_windows_that_cannot_be(wrong):
    with pytest.raises(ConfigError):
        Windows(*wrong)


def test_sung_spans():
    assert sung_spans(_activity(0.1, 0.2)) == ()
    assert sung_spans(_activity(0.5)) == (Span(0.0, 3.5),)
    assert sung_spans(_activity(0, 1, 1, 0.49, 0)) == (Span(2.5, 9.5),)
    bridged = sung_spans(_activity(1, 0, 1, 0, 0, 1))
    assert bridged == (Span(0.0, 9.5), Span(14.5, 18.5))
    assert sung_spans(_activity(0.3, 0, 0, 0), threshold=0.2, margin_s=0) == (Span(0, 3),)
    near = sung_spans(_activity(1, 0, 1), margin_s=1.0, bridge_s=0.0)
    assert near == (Span(0, 10),)  # a gap shorter than two leads is never left


# One track


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [("a.wav", 8000, 1), ("a.flac", 16_000, 2), ("a.wav", 44_100, 2), ("a.flac", 48_000, 1), ("a.mp3", 44_100, 2)],
)
@pytest.mark.parametrize("model_rate", [8000, 44_100])
def test_stems_of_any_file(tmp_path, name, rate, channels, model_rate):
    path = _write(tmp_path / name, 5.3, rate, channels)
    separator = Filter(sample_rate=model_rate)
    stems = separate_track(path, separator, tmp_path / "cache")
    mixture = audio.load(path).samples
    vocals, rest = (audio.load(stem).samples for stem in (stems.vocals, stems.instrumental))
    assert vocals.shape == rest.shape == mixture.shape
    np.testing.assert_allclose(vocals + rest, mixture, atol=2 / 32768)
    assert soundfile.info(stems.vocals).subtype == "PCM_16"
    assert stems.new
    assert stems.separated_s == stems.duration_s == pytest.approx(audio.probe(path).duration_s, abs=1e-3)
    given = np.concatenate(list(audio.blocks(path, model_rate, 2)), axis=1)
    wanted = np.concatenate(list(audio.resampled(iter([_one_pass(given, Filter())]), model_rate)), axis=1)
    size = min(wanted.shape[1], vocals.shape[1])
    np.testing.assert_allclose(vocals[:, :size], wanted[:, :size], atol=2 / 32768)


def test_only_sung_pieces_are_separated(tmp_path):
    path = _write(tmp_path / "song.wav", 30)
    stems = separate_track(path, Filter(sample_rate=RATE), tmp_path / "cache", _activity(*[0] * 3, 1, *[0] * 6))
    vocals, rest, mixture = (audio.load(p).samples[0] for p in (stems.vocals, stems.instrumental, path))
    outside = np.r_[0 : round(8.5 * RATE), round(12.5 * RATE) : 30 * RATE]
    assert not vocals[outside].any()
    np.testing.assert_allclose(rest[outside], mixture[outside], atol=1 / 32768)
    assert np.abs(vocals[9 * RATE : 12 * RATE]).max() > 0.05
    assert stems.separated_s == 4.0
    assert stems.duration_s == 30.0


def test_a_track_without_singing_needs_no_model(tmp_path, song):
    separator = Filter()
    stems = separate_track(song, separator, tmp_path / "cache", _activity(0, 0.1, 0.4, 0))
    assert not separator.calls
    assert stems.separated_s == 0
    assert not audio.load(stems.vocals).samples.any()


def test_silence(tmp_path):
    path = tmp_path / "silent.wav"
    soundfile.write(path, np.zeros((2 * 44_100, 2)), 44_100)
    stems = separate_track(path, Filter(), tmp_path / "cache")
    assert not audio.load(stems.instrumental).samples.any()


def test_what_cannot_be_separated_leaves_nothing(tmp_path):
    cache = tmp_path / "cache"
    with pytest.raises(TooShortError, match=r"0\.40 s"):
        separate_track(_write(tmp_path / "short.wav", 0.4), Filter(), cache)
    with pytest.raises(MissingFileError):
        separate_track(tmp_path / "none.wav", Filter(), cache)
    bad = _noise(70, 8000, 1).T
    bad[-1] = np.nan  # far behind the first block
    soundfile.write(tmp_path / "nan.wav", bad, 8000, subtype="FLOAT")
    with pytest.raises(NonFiniteAudioError):
        separate_track(tmp_path / "nan.wav", Filter(), cache)
    assert [path for path in cache.rglob("*") if path.is_file() and ".locks" not in path.parts] == []
    assert not list(cache.rglob(".partial*"))


def test_sound_beyond_full_scale_is_not_clipped(tmp_path):
    loud = 40 * _noise(12, RATE, 1)
    soundfile.write(tmp_path / "loud.wav", loud.T, RATE, subtype="FLOAT")
    stems = separate_track(tmp_path / "loud.wav", Filter(sample_rate=RATE), tmp_path / "cache")
    vocals, rest = (audio.load(stem).samples for stem in (stems.vocals, stems.instrumental))
    assert max(np.abs(vocals).max(), np.abs(rest).max()) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose((vocals + rest) / stems.gain, loud, atol=2 / 32768 / stems.gain)
    assert json.loads((stems.vocals.parent / "stems.json").read_text())["gain"] == stems.gain < 0.1
    assert separate_track(tmp_path / "loud.wav", Filter(sample_rate=RATE), tmp_path / "cache").gain == stems.gain


# The cache


def test_a_second_call_finds_the_pair(tmp_path, song):
    first, separator = separate_track(song, Filter(), tmp_path / "cache"), Filter()
    copy = song.rename(tmp_path / "renamed.wav")
    assert separate_track(copy, separator, tmp_path / "cache") == replace(first, new=False)
    assert not separator.calls
    for other in (replace(separator, fingerprint="e" * 64), separator):
        activity = None if other is not separator else _activity(1, 0, 0, 0)
        assert separate_track(copy, other, tmp_path / "cache", activity).vocals != first.vocals


@pytest.mark.parametrize(
    "damage",
    [
        lambda stems: stems.vocals.unlink(),
        lambda stems: stems.instrumental.write_bytes(stems.instrumental.read_bytes()[:-100]),
        lambda stems: _flip(stems.vocals),
        lambda stems: (stems.vocals.parent / "stems.json").unlink(),
        lambda stems: (stems.vocals.parent / "stems.json").write_text('{"sha256": 3}'),
    ],
)
def test_a_damaged_pair_is_made_again(tmp_path, song, damage):
    stems = separate_track(song, Filter(), tmp_path / "cache")
    before = stems.vocals.read_bytes(), stems.instrumental.read_bytes()
    damage(stems)
    assert separate_track(song, Filter(), tmp_path / "cache") == stems
    assert (stems.vocals.read_bytes(), stems.instrumental.read_bytes()) == before
    assert not separate_track(song, Filter(), tmp_path / "cache").new
    assert not list(tmp_path.rglob(".partial*"))


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _at_once(barrier, song: Path, cache: Path, results) -> None:
    barrier.wait()
    results.put(separate_track(song, Filter(), cache))


def test_processes_that_want_the_same_track(tmp_path, song):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    arguments = (barrier, song, tmp_path / "cache", results)
    children = [context.Process(target=_at_once, args=arguments) for _ in range(3)]
    for child in children:
        child.start()
    found = [results.get(timeout=120) for _ in children]
    for child in children:
        child.join()
    assert sorted(stems.new for stems in found) == [False, False, True]
    assert {stems.vocals for stems in found} == {found[0].vocals}
    assert audio.load(found[0].vocals).duration_s == 12
    assert not list(tmp_path.rglob(".partial*"))


def test_a_killed_process_leaves_no_half_of_a_pair(tmp_path, song):
    program = f"""
import time
from pathlib import Path
from tests.separation_models import Filter
from whosings.vocals.separation import separate_track

class Slow(Filter):
    def __call__(self, mixtures):
        if len(self.calls) == 5:
            print("writing", flush=True)
            time.sleep(600)
        return super().__call__(mixtures)

separate_track({str(song)!r}, Slow(), {str(tmp_path / "cache")!r})
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=_environment()
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == "writing\n"
        assert list(tmp_path.rglob(".partial*"))
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert not list((tmp_path / "cache").rglob("stems.json"))
    assert separate_track(song, Filter(), tmp_path / "cache").new
    assert not list(tmp_path.rglob(".partial*"))


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_the_track(tmp_path):
    program = """
import re, sys
from pathlib import Path
from tests.separation_models import Filter
from whosings.vocals.separation import separate_track

separate_track(sys.argv[1], Filter(), sys.argv[2])
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
    peaks = []
    for minutes in (10, 60):
        path = tmp_path / f"{minutes}.flac"
        with soundfile.SoundFile(path, "w", 8000, 1) as file:
            for _ in range(minutes):
                file.write(_noise(60, 8000, 1).T)
        words = [sys.executable, "-c", program, str(path), str(tmp_path / "cache")]
        printed = subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT, env=_environment())
        peaks.append(int(printed.stdout) / 1024)
    assert peaks[1] < peaks[0] + 20, peaks  # MB; at 16 kHz the longer track alone is 230


# Many tracks


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("demucs")
    folder = tmp_path_factory.mktemp("model")
    save_safetensors(tiny_demucs(), folder / "tiny.safetensors")
    return f"demucs:{folder}"


@pytest.mark.parametrize("workers", [1, 2])
def test_many_tracks_and_one_that_is_none(tmp_path, model, workers):
    paths = [_write(tmp_path / "a.wav", 3), tmp_path / "none.wav", _write(tmp_path / "b.wav", 4)]
    job = SeparationJob(model, tmp_path / "cache", "cpu", whole=True)
    found = {outcome.path: outcome.result for outcome in separate_many(paths, job, workers)}
    assert set(found) == set(paths)
    assert isinstance(found[paths[1]], MissingFileError)
    stems = found[paths[2]]
    assert isinstance(stems, Stems)
    assert stems.duration_s == stems.separated_s == 4
    again = {outcome.path: outcome.result for outcome in separate_many(paths[2:], job, 1)}
    assert again == {paths[2]: replace(stems, new=False)}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("spec", ["demucs:no-such-model", "nonsense", "none"])
def test_a_model_that_cannot_be_opened_is_said_once(tmp_path, song, spec, workers):
    if spec.startswith("demucs"):
        pytest.importorskip("demucs")
    with pytest.raises(SeparationError, match=spec):
        list(separate_many([song, song], SeparationJob(spec, tmp_path), workers))


@dataclass(frozen=True)
class _Dying(SeparationJob):
    def open(self):
        return Filter()

    def __call__(self, path):
        os._exit(9)


def test_a_worker_that_dies_fails_its_tracks(tmp_path, song):
    (outcome,) = separate_many([song], _Dying("any", tmp_path), workers=2)
    assert isinstance(outcome.result, WhosingsError)
    assert "fewer workers" in str(outcome.result)


def test_quiet_parts_are_left_out_unless_the_whole_is_asked_for(tmp_path, model):
    path = tmp_path / "half.wav"
    samples = singing(24)[None]
    samples[:, 12 * RATE :] *= 1e-4
    soundfile.write(path, samples.T, RATE)
    (part,) = separate_many([path], SeparationJob(model, tmp_path / "cache", "cpu"))
    (whole,) = separate_many([path], SeparationJob(model, tmp_path / "cache", "cpu", whole=True))
    assert part.result.separated_s == 12.5
    assert whole.result.separated_s == 24
    assert json.loads((part.result.vocals.parent / "stems.json").read_text())["separated_s"] == 12.5
