"""What people look at: a sheet of spectrograms and a page whose players find their files."""

import re
from pathlib import Path

import numpy as np

from whosings.choir.build import build, write_choir
from whosings.choir.contact_sheet import counts, show
from whosings.choir.plan import Part, Preset, make_plan


def test_a_sheet_and_a_page_with_every_kind_of_clone(tmp_path):
    import matplotlib.image

    plan = make_plan(Preset("custom", Part(3, 2), Part(1, 1), Part(0, 0), targets=2, clones=6, duration_s=3.0), 1)
    built = build(plan, tmp_path)
    sheet, page = show(built.manifest, tmp_path)
    picture = matplotlib.image.imread(sheet)[..., :3]
    assert picture.shape[0] > 800 and picture.shape[1] > 1200
    assert np.std(picture) > 0.2  # not blank
    text = page.read_text()
    sources = re.findall(r'src="([^"]+)"', text)
    assert len(sources) > 30 and all((tmp_path / source).exists() for source in sources)
    assert not any(Path(source).is_absolute() for source in sources)
    for method in ("neighbours", "statistics", "degraded"):
        assert f"cloned by {method} over" in text
    assert "4 singers, 7 songs, 12 clones" in text and "Nobody here is a real singer" in text
    found = counts(built.manifest)
    assert found["clones by method"] == {"neighbours": 4, "statistics": 4, "degraded": 4}
    assert sum(found["clones by band"].values()) == 12 and sum(found["genre"].values()) == 7


def test_a_choir_without_clones_can_be_shown(tmp_path):
    sheet, page = show(write_choir(tmp_path, singers=1, songs=1, duration_s=2.0), tmp_path)
    assert sheet.exists() and "none" in page.read_text()
