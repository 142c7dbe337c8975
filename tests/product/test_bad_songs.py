"""Songs that are hard to answer, through the real command line with an encoder that ships: no confident wrong name."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soxr

from tests.conftest import RATE
from tests.product.test_gallery_audit import namesakes
from whosings import audio
from whosings.calibration import calibration_of
from whosings.catalogue.manifest import Manifest
from whosings.embedding import TrackEmbedder
from whosings.gallery import Gallery
from whosings.gallery_audit import audit


@pytest.fixture(scope="module")
def heard(small_choir: Manifest):
    """The small choir as ``fast`` hears it: ``.embedder``, ``.tracks`` by name of the singer, ``.vocals`` likewise."""
    embedder = TrackEmbedder("fast", device="cpu")
    tracks = {name: list(embedder.many([t.path for t in of])) for name, of in small_choir.by_singer.items()}
    vocals = {name: audio.load(of[2].vocals_path).samples[0] for name, of in small_choir.by_singer.items()}
    return SimpleNamespace(embedder=embedder, tracks=tracks, vocals=vocals)


@pytest.fixture(scope="module")
def enrolled(heard, tmp_path_factory):
    """A gallery of the choir's six singers, from one song each."""
    path = tmp_path_factory.mktemp("enrolled") / "g"
    with Gallery(path, heard.embedder.fingerprint, "fast") as gallery:
        for name, (first, *_) in heard.tracks.items():
            gallery.add(name, first, name)
    return path


@pytest.fixture
def identify(run, enrolled, tmp_path):
    """The answer for samples, as ``identify --json`` prints it."""

    def call(samples):
        path = tmp_path / "song.flac"
        audio.write_flac(path, np.asarray(samples, np.float32)[None])
        code, out, err = run("identify", path, "-g", enrolled, "--encoder", "fast", "--device", "cpu", "--json")
        assert (code, err) == (0, "")
        (answer,) = json.loads(out)
        return answer

    return call


def loudest(wave, seconds):
    """A shout: the loudest part of a voice, at full scale."""
    size = round(seconds * RATE)
    first = int(np.convolve(wave**2, np.ones(size), "valid")[::100].argmax()) * 100
    part = wave[first : first + size]
    return part / np.abs(part).max()


@pytest.mark.parametrize("shout_s", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("song_s", [1.5, 4.0, 9.0, 90.0])
def test_one_shout_in_a_silent_song_names_nobody(identify, heard, shout_s, song_s):
    """Not even the enrolled singer who shouts, and no noise as short."""
    noise = np.random.default_rng(0).uniform(-1, 1, round(shout_s * RATE))
    for shout in (loudest(heard.vocals["singer-0002"], shout_s), noise):
        song = np.zeros(round(song_s * RATE))
        song[round(0.3 * song.size) :][: shout.size] = 0.9 * shout
        answer = identify(song)
        assert answer["verdict"] in ("unknown", "not enough vocals")
        assert all(one["probability"] < 0.5 for one in answer["top"])
        for part in answer["timeline"]:
            assert part["start_s"] >= 0 and part["start_s"] + part["duration_s"] <= song_s + 0.01
        assert answer["vocal_s"] < 1.1, "silence is no voice"


def test_forty_singers_at_once_are_nobody_in_particular(identify, heard):
    """Six enrolled voices and transpositions of them, all equally loud."""
    crowd = []
    for place in range(42):
        wave = list(heard.vocals.values())[place % 6]
        other = soxr.resample(wave, RATE * 1.03 ** (place // 6), RATE)[: 8 * RATE]
        crowd.append(np.resize(other, 8 * RATE) / np.sqrt(np.mean(other**2)))
    together = np.sum(crowd, axis=0)
    answer = identify(np.tile(together, 3) / np.abs(together).max())
    assert all(one["probability"] < 0.9 for one in answer["top"]) and len(answer["voices"]) <= 6


def test_one_recording_each_is_enough_to_be_found_and_raises_no_doubt(run, enrolled, heard, small_choir):
    songs = [of[1].path for of in small_choir.by_singer.values()]
    code, out, err = run("identify", *songs, "-g", enrolled, "--encoder", "fast", "--device", "cpu", "--json")
    assert code == 0, err
    for name, answer in zip(small_choir.by_singer, json.loads(out), strict=True):
        assert answer["top"][0]["singer"] == name or answer["verdict"] == "unknown"
    with Gallery(enrolled) as gallery:
        assert audit(gallery, calibration_of(heard.embedder.checkpoint)).misfits == ()


def test_two_names_of_one_voice_are_told_of_whoever_of_them_is_named(heard, tmp_path):
    calibration = calibration_of(heard.embedder.checkpoint)
    with Gallery(tmp_path / "g", heard.embedder.fingerprint) as gallery:
        for name, (first, *_) in heard.tracks.items():
            gallery.add(name, first, name)
        for number in (1, 2):
            gallery.add("Somebody New", heard.tracks["singer-0003"][number], f"again {number}")
        told = {name: [one.second for one in namesakes(gallery, calibration, name)] for name in gallery.voices.names}
    assert told.pop("singer-0003") == ["Somebody New"] and told.pop("Somebody New") == ["singer-0003"]
    assert not any(told.values())
