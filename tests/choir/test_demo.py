import json

import numpy as np
import pytest

from whosings import audio
from whosings.choir import demo
from whosings.choir.demo import run_demo
from whosings.choir.plan import Part, Preset
from whosings.errors import AudioError, ManifestError


@pytest.fixture(scope="module")
def brief(tiny, tmp_path_factory):
    """A generated demo of three singers and one stranger, with short songs and a clone of each of two.

    Its folder, its report, the labels of its steps, and what was embedded at once.
    """
    parts, steps, heard = (Part(4, 3), Part(1, 1), Part(0, 0)), [], []
    folder, original = tmp_path_factory.mktemp("demo"), demo._embed
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(demo.PRESETS, "small", Preset("small", *parts, targets=2, clones=1, duration_s=8.0))
        patch.setattr(demo, "_STRANGERS", 1)
        patch.setattr(demo, "_embed", lambda e, some, *rest: (heard.append(some), original(e, some, *rest))[1])
        report = run_demo(tiny.embedder, folder, progress=lambda label, n: lambda: steps.append(label))
    return folder, report, steps, heard


def test_generated_demo(brief):
    folder, report, steps, _ = brief
    assert report.singers == 3
    names = [f"singer-000{n}" for n in range(3)]
    assert [row.probe.singer for row in report.rows] == [*names, None, names[1], names[1], *names[:2]]
    assert [row.probe.clone for row in report.rows] == [False] * 6 + [True] * 2
    assert report.failures == ()
    assert {label: steps.count(label) for label in set(steps)} == {"singing": 7, "enrolling": 6, "identifying": 8}
    assert report.picture.read_bytes().startswith(b"\x89PNG")
    written = json.loads((folder / "answers.json").read_text())
    assert written["summary"] == report.summary()
    assert len(written["answers"]) == 8


def test_nothing_that_is_enrolled_is_a_probe(brief):
    enrolled, probes = ({r.path for r in some} for some in brief[-1])
    assert not enrolled & probes


def test_summary_counts(brief):
    report = brief[1]
    summary = report.summary()
    known = [row for row in report.rows if row.probe.singer and not row.probe.clone]
    assert summary["probes"] == len(known) == 5
    clones = [row for row in report.rows if row.probe.clone]
    assert summary["clone_probes"] == len(clones) == 2
    assert summary["clones_top_1"] == np.mean([row.answer.top[0].singer == row.probe.singer for row in clones])
    assert summary["stranger_probes"] == 7  # a duet without one singer is still the other one's
    assert summary["top_1"] == np.mean(
        [row.answer.top[0].singer in {row.probe.singer, row.probe.second} for row in known]
    )
    named = [bool(row.answer.named) for row in known]
    assert summary["named_right"] + summary["named_wrong"] == pytest.approx(np.mean(named))
    for row in report.rows:
        stranger = row.answer if row.probe.singer is None else row.as_stranger
        assert (stranger is None) == (row.probe.second is not None)
        if stranger is None:
            continue
        assert all(c.singer != row.probe.singer for c in stranger.top)


def test_folder_with_one_song_a_singer_is_divided_in_the_middle(tmp_path, tiny, small_choir):
    for track in small_choir.tracks[::3]:
        (tmp_path / "songs" / track.singer_id).mkdir(parents=True)
        (tmp_path / "songs" / track.singer_id / "only.flac").symlink_to(track.path)
    report = run_demo(tiny.embedder, tmp_path / "out", tmp_path / "songs")
    assert report.singers == 6
    for row in report.rows:
        whole = audio.load(row.probe.path)
        first, second = (whole.cut(f * whole.duration_s, whole.duration_s / 2) for f in (0, 0.5))
        np.testing.assert_array_equal(row.probe.sound(1).samples, second.samples)
        assert row.answer.duration_s == pytest.approx(first.duration_s, abs=0.01)


def test_pattern_chooses_probes(tmp_path, tiny, choir_folder):
    report = run_demo(tiny.embedder, tmp_path, choir_folder / "songs", probes="song-00*")
    assert {row.probe.path.name for row in report.rows} == {"song-00.flac"}


def test_broken_files_are_listed_and_the_rest_goes_on(tmp_path, tiny, small_choir):
    for track in small_choir.tracks[:6]:
        folder = tmp_path / "songs" / track.singer_id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / track.path.name).symlink_to(track.path)
    (tmp_path / "songs" / "singer-0000" / "a-broken.mp3").write_text("la la")
    report = run_demo(tiny.embedder, tmp_path / "out", tmp_path / "songs")
    assert ["a-broken.mp3" in str(error) for error in report.failures] == [True]
    assert len(report.rows) == 2


def test_folders_without_songs(tmp_path, tiny):
    with pytest.raises(ManifestError, match="no such folder"):
        run_demo(tiny.embedder, tmp_path, tmp_path / "gone")
    (tmp_path / "Ann").mkdir()
    (tmp_path / "Ann" / "a.mp3").write_text("la la")
    with pytest.raises(AudioError, match=r"a\.mp3"):
        run_demo(tiny.embedder, tmp_path / "out", tmp_path)
