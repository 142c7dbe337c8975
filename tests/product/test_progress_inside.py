"""Long files tell how far they are, one by one and from both threads, and embed to the same numbers."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest

from tests.conftest import singing
from tests.ground.test_progress import Told
from whosings import audio
from whosings.audio import SAMPLE_RATE, Segment
from whosings.config import FilterbankConfig
from whosings.console import Report
from whosings.embedding import TrackEmbedder
from whosings.errors import AudioError

STAGES = ("decoding", "listening to", "embedding")


class ToldByThread(Told):
    """Remembers also which thread told the last step of each stage."""

    def __init__(self):
        super().__init__()
        self.threads = {}

    def __call__(self, label, steps):
        step = super().__call__(label, steps)

        def told():
            step()
            self.threads[label] = threading.current_thread()

        return told


@pytest.fixture(scope="module")
def long_file(tmp_path_factory):
    """Two and a half minutes, of which half a minute in the middle is a rest."""
    path = tmp_path_factory.mktemp("long") / "long.flac"
    samples = np.tile(np.float32(0.3) * singing(10), 15)[None]
    samples[:, 60 * SAMPLE_RATE : 90 * SAMPLE_RATE] = 0
    audio.write_flac(path, samples)
    return path


def test_a_file_tells_of_each_minute_in_each_stage(tiny, long_file):
    told = Told()
    found = tiny.embedder(long_file, told)
    assert list(told.stages) == [f"{stage} long.flac" for stage in STAGES]
    assert [steps for steps, _ in told.stages.values()][:2] == [2, 3]
    assert all(steps == count for steps, count in told.stages.values())
    np.testing.assert_array_equal(found.vectors, tiny.embedder(long_file).vectors)


def test_decoding_ahead_tells_from_its_own_thread_and_ends_what_broke_off(tiny, long_file, tmp_path):
    cut = tmp_path / "cut.flac"
    cut.write_bytes(long_file.read_bytes()[: long_file.stat().st_size * 2 // 3])
    told, here = ToldByThread(), threading.current_thread()
    first, broken, last = tiny.embedder.many([long_file, cut, audio.load(long_file)], told)
    assert isinstance(broken, AudioError)
    np.testing.assert_array_equal(first.vectors, last.vectors)
    assert all(steps <= count for steps, count in told.stages.values())
    assert told.stages["decoding cut.flac"] == [2, 2] and "embedding cut.flac" not in told.stages
    assert told.threads["embedding long.flac"] is here
    assert told.threads["decoding long.flac"] is not here and told.threads["listening to long.flac"] is not here


def test_stretches_are_told_as_they_are_embedded(long_file, monkeypatch):
    """An embedder of another make is asked in groups, and each is told when it is done."""
    told, seen = Told(), []

    class Counting:
        front_end, fingerprint = FilterbankConfig(segment_s=1.0), "made"

        def __call__(self, waves):
            seen.append(told.stages["embedding long.flac"][1])
            return np.ones((len(waves), 2), np.float32)

    TrackEmbedder(Counting())(long_file, told)
    assert len(seen) > 2 and seen == list(range(len(seen)))


def test_samples_that_are_decoded_already_tell_of_the_rest(tiny):
    told = Told()
    tiny.embedder(Segment(np.float32(0.3) * singing(10)[None], 0.0, "folder/track"), told)
    assert list(told.stages) == ["listening to track", "embedding track"]


@pytest.mark.parametrize("verb", ["enrol", "identify", "embed", "activity"])
def test_verbs_show_it(run, verb, tiny, long_file, tmp_path, monkeypatch):
    told, encoder = Told(), ("--encoder", tiny.folder)
    arguments = {
        "enrol": ("Ann", long_file, "-g", tmp_path / "g", *encoder),
        "identify": (long_file, "-g", tmp_path / "g", *encoder),
        "embed": (long_file, "-o", tmp_path / "e.parquet", *encoder),
        "activity": (long_file,),
    }
    if verb == "identify":
        assert run("enrol", *arguments["enrol"])[0] == 0

    @contextmanager
    def bars(report):
        yield told

    monkeypatch.setattr(Report, "bars", bars)
    code, _, err = run(verb, *arguments[verb])
    assert (code, err) == (0, "")
    wanted = [f"{stage} long.flac" for stage in STAGES[: 2 if verb == "activity" else 3]]
    assert [label for label in told.stages if "long.flac" in label] == wanted
    assert all(steps == count for steps, count in told.stages.values())
