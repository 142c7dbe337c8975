"""Clones by other tools: their vocals over the source's band, at the level of the vocals they replace."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from whosings.audio import SAMPLE_RATE
from whosings.choir.build import build
from whosings.choir.external_clones import CONVERSIONS, read_conversions
from whosings.choir.plan import Part, Preset, make_plan
from whosings.choir.songs import level
from whosings.errors import ManifestError

NOBODY = Part(0, 0)
PLAN = make_plan(Preset("custom", Part(2, 1), NOBODY, NOBODY, targets=1, clones=1, duration_s=3.0), 5)
HEAD = "path,method,target_singer_id,source_track_id\n"


@pytest.fixture
def choir(tmp_path):
    """A choir of two singers with a song each, and a clone."""
    return build(PLAN, tmp_path / "choir")


def converted(folder: Path, vocals: Path, name: str = "one.wav", gain: float = 0.3, rate: int = 44_100) -> Path:
    """What another tool might give back: other samples, another rate, another level, the same timing."""
    samples, own = soundfile.read(vocals)
    index = np.arange(round(samples.size * rate / own)) * own / rate
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / name, -gain * np.interp(index, np.arange(samples.size), samples), rate)
    return folder


def test_converted_vocals_become_a_clone(choir, tmp_path):
    source = next(t for t in choir.manifest.tracks if t.track_id == "singer-0001/00")
    folder = converted(tmp_path / "rvc", source.vocals_path)
    (folder / CONVERSIONS).write_text(f"{HEAD}one.wav,RVC v2,singer-0000,singer-0001/00\n")
    built = build(PLAN, tmp_path / "choir", conversions=folder)
    assert not built.failures and built.made == 1 and built.digest == choir.digest
    clone = built.manifest.tracks[-1]
    assert (clone.cloned, clone.clone_method, clone.target_singer_ids) == (True, "RVC v2", ("singer-0000",))
    assert (clone.singer_id, clone.instrumental_singer_id) == ("singer-0001", "singer-0001")
    assert clone.licence is None and clone.title == source.title
    mixture, vocals, instrumental = (
        soundfile.read(path)[0] for path in (clone.path, clone.vocals_path, clone.instrumental_path)
    )
    np.testing.assert_allclose(vocals + instrumental, mixture, atol=2 / 32768)
    before, band = (soundfile.read(path)[0] for path in (source.vocals_path, source.instrumental_path))
    assert np.corrcoef(vocals, -before)[0, 1] > 0.95
    assert np.corrcoef(instrumental, band)[0, 1] > 0.999
    assert level(vocals) / level(instrumental) == pytest.approx(level(before) / level(band), rel=0.05)
    assert {size.name: size.tracks for size in built.sets}["cloned"] == 2
    assert build(PLAN, tmp_path / "choir", conversions=folder).made == 0


def test_a_bad_file_is_named_and_the_others_are_mixed(choir, tmp_path):
    source = next(t for t in choir.manifest.tracks if t.track_id == "singer-0001/00")
    folder = converted(tmp_path / "rvc", source.vocals_path)
    soundfile.write(folder / "short.wav", np.ones(2 * SAMPLE_RATE) * 0.1, SAMPLE_RATE)
    (folder / "text.wav").write_text("no sound")
    rows = "".join(f"{name}.wav,rvc,singer-0000,singer-0001/00\n" for name in ("gone", "short", "text", "one"))
    (folder / CONVERSIONS).write_text(HEAD + rows)
    built = build(PLAN, tmp_path / "choir", conversions=folder)
    assert [Path(failure.subject).name for failure in built.failures] == ["gone.wav", "short.wav", "text.wav"]
    assert "lasts 2.0 s and the vocals it replaces" in str(built.failures[1])
    assert built.manifest.tracks[-1].track_id == "singer-0000/rvc-one"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("one.wav,rvc,singer-0009,singer-0001/00", "row 1 names the singer singer-0009, whom the choir has not"),
        ("one.wav,rvc,singer-0000,singer-0001/77", "row 1 names the song singer-0001/77, which the choir has not"),
        ("one.wav,rvc,singer-0000,singer-0000/clone-00", "row 1 names the song singer-0000/clone-00"),
        ("one.wav,,singer-0000,singer-0001/00", "row 1 has no method"),
    ],
)
def test_rows_that_name_nobody_are_refused(choir, tmp_path, row, message):
    (tmp_path / CONVERSIONS).write_text(f"{HEAD}{row}\n")
    with pytest.raises(ManifestError, match=message):
        read_conversions(tmp_path, choir.manifest.tracks)


def test_a_folder_without_a_table_is_refused(choir, tmp_path):
    with pytest.raises(ManifestError, match="no such file"):
        read_conversions(tmp_path, choir.manifest.tracks)


def test_a_method_is_no_path(choir, tmp_path):
    source = next(t for t in choir.manifest.tracks if t.track_id == "singer-0001/00")
    folder = converted(tmp_path / "rvc", source.vocals_path)
    (folder / CONVERSIONS).write_text(f"{HEAD}one.wav,../../x,singer-0000,singer-0001/00\n")
    with pytest.raises(ManifestError, match=r"row 1 has the method \.\./\.\./x, which is no plain name"):
        build(PLAN, tmp_path / "choir", conversions=folder)
