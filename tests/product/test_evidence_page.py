"""Evidence as a folder: clips are of the right places, the page holds hostile names as text, nothing else is lost."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE
from tests.product.test_picture import answer
from whosings import evidence_page
from whosings.answer import NOTICE, Outcome, Verdict, Voice
from whosings.clips import clip_of, levelled
from whosings.enrolled_files import EnrolledFiles
from whosings.errors import AudioError, ConfigError
from whosings.evidence_page import Explained, refuse_foreign, write_evidence
from whosings.evidence_rows import Match, RecordingEvidence, RunnerUp, VoiceEvidence
from whosings.files import content_hash
from whosings.spans import Span

EVIL = "<script>alert(1)</script>\"'>&\u202e\x1b[2J"


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setattr("whosings.picture._COLUMNS", 60)


def noise(path, seconds, seed, rate=RATE):
    """A file in which every place is unlike every other; its samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, round(seconds * rate)).astype(np.float32)
    soundfile.write(path, samples, rate)
    return samples


def place_of(clip, samples):
    """Where a clip is in a recording, in seconds, by correlation, and how well it fits."""
    from scipy.signal import correlate

    found = correlate(samples, clip, "valid")
    place = int(found.argmax())
    part = samples[place : place + len(clip)]
    return place / RATE, float(found[place] / np.linalg.norm(part) / np.linalg.norm(clip))


@pytest.fixture
def scene(tmp_path):
    """A probe, an enrolled recording, and evidence with which they were compared; what is heard where is made up."""
    probe, enrolled = tmp_path / "probe.wav", tmp_path / "songs/ann.wav"
    sounds = {"heard": noise(probe, 20, 1), "enrolled": noise(enrolled, 15, 2)}
    match = Match(str(enrolled), content_hash(enrolled), Span(9.0, 15.0), Span(4.0, 6.0), 0.8, 0.7, 12.0)
    voice = VoiceEvidence(
        "Ann", Outcome.NAMED, 0.9, 12.0, (Span(4.5, 16.5),), False, 0.7, 1, 12.0, (match,),
        RunnerUp("Bob", 0.3, 0.4, 50.0, "about 50 times as likely as"), ("A caveat.",),
    )  # fmt: skip
    told = answer([(4.5, 16.5, "Ann", 0.9)], track_id=str(probe))
    told = replace(told, voices=(Voice("Ann", 0.9, Outcome.NAMED, 12.0, voice.spans),))
    return Explained(probe, told, RecordingEvidence(str(probe), (voice,))), sounds


def changed(row, match=None, **fields):
    (voice,) = row.evidence.voices
    matches = (replace(voice.matches[0], **match),) if match else voice.matches
    return replace(row, evidence=replace(row.evidence, voices=(replace(voice, matches=matches, **fields),)))


class _Reader(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.sources, self.elements = [], "", [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.elements.append((tag, dict(attributes)))
        self.sources += [value for name, value in attributes if name == "src"]

    def handle_data(self, data):
        self.text += data


def test_clips_are_of_the_places_that_are_said(scene, tmp_path):
    row, sounds = scene
    page = write_evidence([row], tmp_path / "g", tmp_path / "out")
    assert page == (tmp_path / "out/index.html").resolve()
    names = {path.name for path in page.parent.iterdir()}
    assert names == {"index.html", "evidence.json", "1.png", "1-1-1-heard.flac", "1-1-1-enrolled.flac"}
    # What is heard is two seconds long, and its clip stays in the voice's span, which begins at 4.5.
    for side, start in (("heard", 4.5), ("enrolled", 9.0)):
        clip, rate = soundfile.read(page.parent / f"1-1-1-{side}.flac", dtype="float32")
        assert rate == RATE and len(clip) == 6 * RATE
        place, fit = place_of(clip, sounds[side])
        assert place == pytest.approx(start, abs=1e-4) and fit > 0.999
        assert np.sqrt(np.mean(clip**2)) == pytest.approx(0.1, rel=1e-2), "both are as loud"


def test_the_page_holds_its_sounds_and_its_picture(scene, tmp_path):
    row, _ = scene
    page = write_evidence([row], tmp_path / "g", tmp_path / "out")
    read = _Reader(page.read_text())
    assert read.tags.count("audio") == 2 and read.tags.count("img") == 1
    held = {base64.b64decode(source.partition("base64,")[2]) for source in read.sources}
    assert held == {path.read_bytes() for path in page.parent.iterdir() if path.suffix in (".flac", ".png")}
    assert not re.search(r"https?:|<script|<link", page.read_text())
    assert NOTICE in read.text and "prefers-color-scheme:dark" in page.read_text()
    assert ("meta", {"name": "viewport", "content": "width=device-width,initial-scale=1"}) in read.elements
    for says in (
        "Ann is about 50 times as likely as Bob, the runner-up (scores 0.70 and 0.30, margin 0.40).",
        "Heard for 12 s: 0:04.5-0:16.5.", "Enrolled with 1 recording, 12 s of singing.", "A caveat.", "0:09.0-0:15.0",
    ):  # fmt: skip
        assert says in read.text


def test_a_large_page_plays_the_files_beside_it(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(evidence_page, "_MOST_EMBEDDED", 1000)
    page = write_evidence([scene[0]], tmp_path / "g", tmp_path / "out")
    sources = _Reader(page.read_text()).sources
    assert sorted(sources) == ["1-1-1-enrolled.flac", "1-1-1-heard.flac", "1.png"]
    assert all((page.parent / source).exists() for source in sources)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of glyphs that the font lacks
def test_names_of_strangers_are_text(scene, tmp_path):
    row, _ = scene
    plain = _Reader(write_evidence([row], tmp_path / "g", tmp_path / "plain").read_text())
    (voice,) = row.answer.voices
    evil = changed(row, {"source": EVIL}, singer=EVIL, caveats=(EVIL,))
    evil = replace(evil, path=evil.path.rename(tmp_path / f"{EVIL.replace('/', '')}.wav"))
    top = tuple(replace(one, singer=EVIL) for one in row.answer.top)
    evil = replace(evil, answer=replace(row.answer, voices=(replace(voice, singer=EVIL),), top=top))
    page = write_evidence([evil], tmp_path / "g", tmp_path / "evil").read_text()
    read = _Reader(page)
    assert set(read.tags) == set(plain.tags) and "script" not in read.tags
    assert not {"\u202e", "\x1b"} & set(page) and read.text.count("<script>alert(1)</script>\"'>&") >= 3
    assert not {"\u202e", "\x1b"} & set((tmp_path / "evil/evidence.json").read_text())
    assert json.loads((tmp_path / "evil/evidence.json").read_text())["recordings"][0]["voices"][0]["singer"] == EVIL


def test_an_enrolled_recording_that_is_gone_or_changed_is_told(scene, tmp_path):
    row, _ = scene
    path = Path(row.evidence.voices[0].matches[0].source)
    noise(path, 15, 3)
    text = _Reader(write_evidence([row], tmp_path / "g", tmp_path / "out").read_text()).text
    assert f"{path}: has changed since it was enrolled; bring back the former file." in text
    path.unlink()
    page = write_evidence([row], tmp_path / "g", tmp_path / "out")
    read = _Reader(page.read_text())
    assert f"{path}: is not where it was when it was enrolled; bring it back there." in read.text
    assert read.tags.count("audio") == 1 and not (page.parent / "1-1-1-enrolled.flac").exists()


def test_a_probe_that_is_gone_loses_no_other(scene, tmp_path):
    row, _ = scene
    gone = replace(row, path=tmp_path / "gone.wav")
    read = _Reader(write_evidence([gone, row], tmp_path / "g", tmp_path / "out").read_text())
    assert "There is no picture, because the recording cannot be read any more" in read.text
    assert read.tags.count("audio") == 3 and read.tags.count("img") == 1


def test_nobody_named_is_said(scene, tmp_path):
    row, _ = scene
    nobody = replace(row.answer, verdict=Verdict.UNKNOWN, voices=())
    silence = replace(row.answer, verdict=Verdict.NOT_ENOUGH_VOCALS, voices=(), top=(), timeline=())
    none = RecordingEvidence("x", ())
    rows = [replace(row, answer=one, evidence=none) for one in (nobody, silence)]
    text = _Reader(write_evidence(rows, tmp_path / "g", tmp_path / "out").read_text()).text
    assert "Nobody enrolled is named" in text and "Too little singing was heard" in text


def test_a_rerun_replaces_its_own_and_nothing_else(scene, tmp_path):
    row, _ = scene
    out = tmp_path / "out"
    write_evidence([row, row], tmp_path / "g", out)
    (out / ".DS_Store").write_text("of the system")
    write_evidence([row], tmp_path / "g", out)
    assert not (out / "2.png").exists() and (out / "1.png").exists()
    for name in ("letter.txt", "2-1-1-heard.flac"):
        (out / name).write_text("mine")
        before = {path.name: path.read_bytes() for path in out.iterdir()}
        with pytest.raises(ConfigError, match=f"holds {name}, which would be lost; name a new folder or an empty one"):
            write_evidence([row], tmp_path / "g", out)
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before
        (out / name).unlink()
    (out / "evidence.json").write_text("[]")
    with pytest.raises(ConfigError, match="would be lost"):
        refuse_foreign(out)
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        refuse_foreign(row.path)
    (tmp_path / "empty").mkdir()
    refuse_foreign(tmp_path / "empty")
    refuse_foreign(tmp_path / "not there")


def test_an_interrupted_run_leaves_the_former_folder(scene, tmp_path, monkeypatch):
    row, _ = scene
    page = write_evidence([row], tmp_path / "g", tmp_path / "out")
    before = page.read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(evidence_page, "draw", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_evidence([row, row], tmp_path / "g", tmp_path / "out")
    assert page.read_bytes() == before and not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_clips_near_the_ends_of_a_file(tmp_path):
    samples = noise(tmp_path / "a.wav", 4, 5)
    for span, start, length in (
        (Span(0.0, 1.0), 0.0, 3.0),  # made longer after its end
        (Span(3.5, 4.0), 1.0, 3.0),  # and before its start
        (Span(0.0, 6.0), 0.0, 4.0),  # a segment for which a short recording was repeated
    ):
        found = clip_of(tmp_path / "a.wav", span)
        assert (found.start_s, found.duration_s) == (pytest.approx(start), pytest.approx(length))
        assert place_of(found.samples[0], samples)[0] == pytest.approx(start, abs=1e-4)


def test_levels():
    loud, quiet = np.full((1, 100), 0.5, np.float32), np.full((1, 100), 0.001, np.float32)
    assert levelled(loud).max() == pytest.approx(0.1) and levelled(quiet).max() == pytest.approx(0.1)
    spiky = np.zeros((1, 10_000), np.float32)
    spiky[0, 0] = 0.5
    assert levelled(spiky).max() == pytest.approx(0.98), "never beyond full scale"
    np.testing.assert_array_equal(levelled(np.zeros((1, 9), np.float32)), np.zeros((1, 9)))


def test_recordings_are_found_where_they_moved_together(tmp_path, monkeypatch):
    noise(tmp_path / "new/songs/ann.wav", 1, 1)
    noise(tmp_path / "new/other/ann.wav", 1, 2)
    sha256 = content_hash(tmp_path / "new/songs/ann.wav")
    files = EnrolledFiles(tmp_path / "new/singers.gallery")
    for source in ("/old/disk/songs/ann.wav", "songs/ann.wav", "music/songs/ann.wav"):
        assert files.find(source, sha256) == tmp_path / "new/songs/ann.wav"
    assert files.find("songs/ann.wav", f"{sha256}:(0.0, 0.5)") == tmp_path / "new/songs/ann.wav"
    monkeypatch.chdir(tmp_path / "new/songs")
    assert EnrolledFiles(tmp_path / "g").find("/old/ann.wav", sha256) == tmp_path / "new/songs/ann.wav"
    with pytest.raises(AudioError, match=r"/old/other/ann\.wav: has changed since it was enrolled"):
        files.find("/old/other/ann.wav", "0" * 64)
    with pytest.raises(AudioError, match=r"/old/bob\.wav: is not where it was"):
        files.find("/old/bob.wav", sha256)
    with pytest.raises(AudioError, match="was enrolled without a hash of its content"):
        files.find("songs/ann.wav", "a track's name")
