"""The public face: classes by name, answers to look at, embedders of one's own."""

import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

import whosings
from tests.conftest import RATE, singing
from tests.product.test_identification import KNOWN
from whosings.answer import Answer, Candidate, Terms, TimelineSegment, Verdict
from whosings.config import FrontEndConfig
from whosings.errors import CheckpointError

ANSWER = Answer(
    track_id="a & b.mp3",
    verdict=Verdict.SINGER,
    top=(Candidate("<Ann>", 0.71, 0.97, 0.8), Candidate("Bob", 0.2, 0.01, 0.0)),
    unknown_probability=0.02,
    timeline=(TimelineSegment(0.0, 6.0, "<Ann>", 0.9), TimelineSegment(6.0, 6.0, None, 0.6)),
    duration_s=20.0,
    vocal_s=12.0,
    short=False,
    fingerprint="f" * 64,
    terms=Terms(0.01, "on something", 1.0, 0.0),
)


class Bands:
    """An embedder of one's own: mean power in eight bands."""

    front_end = FrontEndConfig(channels=1, segment_s=3.0)
    fingerprint = "bands-1"
    name = "bands"

    def __call__(self, waveforms):
        power = [np.abs(np.fft.rfft(wave[0])) for wave in waveforms]
        rows = np.array([[part.mean() for part in np.array_split(one[:6000], 8)] for one in power], np.float32)
        return rows.reshape(-1, 8) / np.maximum(np.linalg.norm(rows.reshape(-1, 8), axis=1, keepdims=True), 1e-9)


def test_every_public_name_is_there_and_none_is_loaded_before_it_is_named():
    assert all(getattr(whosings, name) is not None for name in whosings.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nobody'"):
        whosings.Nobody  # noqa: B018
    code = "import sys, whosings; sys.exit('whosings.gallery' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_answer_shows_as_one_line():
    assert repr(ANSWER) == "<Answer: singer, <Ann> 97%, unknown 2%, 12 s sung>"
    nobody = replace(
        ANSWER, verdict=Verdict.NOT_ENOUGH_VOCALS, top=(), unknown_probability=1.0, timeline=(), vocal_s=0.0
    )
    assert repr(nobody) == "<Answer: not enough vocals, unknown 100%, 0 s sung>"


def test_an_answer_in_a_notebook_is_whole_and_escaped():
    class Tags(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.text, self.rects = [], [], []

        def handle_starttag(self, tag, attrs):
            self.open.append(tag)
            if tag == "rect":
                self.rects.append(dict(attrs))

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

        def handle_data(self, data):
            self.text.append(data)

    page = Tags()
    page.feed(ANSWER._repr_html_())
    assert not page.open and page.rects[0]["fill"] != page.rects[1]["fill"]
    assert [float(rect["x"]) for rect in page.rects] == [0, 6]
    text = " ".join(page.text)
    assert "a & b.mp3: singer" in text and "<Ann>" in text and "97.0%" in text and "not a proof" in text


def test_embeddings_as_a_data_frame(tmp_path):
    pytest.importorskip("pandas")
    soundfile.write(tmp_path / "a.wav", singing(9.0), RATE)
    found = whosings.TrackEmbedder(Bands())(tmp_path / "a.wav")
    frame = found.to_pandas()
    assert list(frame.columns) == ["track_id", "start_s", "vocal", *range(8)]
    np.testing.assert_array_equal(frame[list(range(8))].to_numpy(), found.vectors)
    assert set(frame["track_id"]) == {str(tmp_path / "a.wav")}


def test_an_embedder_of_ones_own_works_everywhere(tmp_path):
    soundfile.write(tmp_path / "a.wav", singing(9.0), RATE)
    embedder = whosings.TrackEmbedder(Bands())
    with whosings.Gallery(tmp_path / "g", embedder.fingerprint, embedder.name) as gallery:
        gallery.add("Ann", embedder(tmp_path / "a.wav"), "1")
        calibration = replace(KNOWN, centre=(0.0,) * 8)
        answer = whosings.Identifier(gallery, embedder, calibration=calibration)(tmp_path / "a.wav")
        assert answer.top[0].singer == "Ann" and answer.top[0].score == pytest.approx(1, abs=1e-3)
        with pytest.raises(CheckpointError, match="bands: carries no calibration; give one"):
            whosings.Identifier(gallery, embedder)
    found = whosings.Verifier(embedder, calibration)(tmp_path / "a.wav", tmp_path / "a.wav")
    assert found.same and found.fingerprint == "bands-1"
    with pytest.raises(CheckpointError, match="bands: carries no calibration"):
        whosings.Verifier(embedder)
