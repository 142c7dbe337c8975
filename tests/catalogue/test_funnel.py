"""A preparation as a picture: it is a PNG, whatever was taken, and shows every filter."""

from pathlib import Path

import pytest
from matplotlib import image

from whosings.catalogue.prepare import Prepared, Rules, Stage
from whosings.catalogue.prepare_figure import draw
from whosings.catalogue.track_status import TrackOutcome


def prepared(folder: Path, *stages: Stage) -> Prepared:
    return Prepared(sum(s.tracks for s in stages), stages, tuple(range(20)), (), Rules(), folder, None)


@pytest.mark.parametrize(
    "stages",
    [
        [Stage(outcome, 10 * n + 1, n + 1, 1.5) for n, outcome in enumerate(TrackOutcome)],
        [Stage(TrackOutcome.KEPT, 0, 0, 0.0)],
        [Stage(TrackOutcome.FEW_VOCALS, 3_000_000, 9, 1e5), Stage(TrackOutcome.KEPT, 1, 1, 0.1)],
    ],
)
def test_it_is_drawn(tmp_path: Path, stages: list[Stage]) -> None:
    draw(prepared(tmp_path, *stages), tmp_path / "summary.png")
    pixels = image.imread(tmp_path / "summary.png")
    assert pixels.shape[1] > 1000 and pixels[..., :3].std() > 0.05
    assert [p.name for p in tmp_path.iterdir()] == ["summary.png"]


def test_more_filters_make_a_taller_picture(tmp_path: Path) -> None:
    heights = []
    for count in (1, len(TrackOutcome)):
        stages = [Stage(outcome, 5, 1, 1.0) for outcome in list(TrackOutcome)[-count:]]
        draw(prepared(tmp_path, *stages), tmp_path / "summary.png")
        heights.append(image.imread(tmp_path / "summary.png").shape[0])
    assert heights[0] < heights[1]
