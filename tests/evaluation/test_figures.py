"""Figures hold what they are drawn from; that they are drawn at all, the report's tests say."""

from dataclasses import asdict

import pytest

from tests.evaluation.test_verification import embedder
from tests.evaluation_fixtures import scene
from whosings.evaluation.protocol import enrol
from whosings.evaluation.verification import open_set, trials

pytest.importorskip("matplotlib")


def test_all_trials_and_the_threshold_are_on_the_products_figure(tmp_path, monkeypatch):
    from whosings.evaluation import figures

    made = scene(singers=12, spread=0.2)
    singers, used = enrol(made.split, made.corpus), embedder(made)
    found = trials(singers, made.corpus, used)
    one = {"model": "made", "trials": asdict(found), "open_set": asdict(open_set(singers, made.corpus, used))}
    drawn = []
    monkeypatch.setattr(figures, "_save", lambda figure, path: drawn.append(figure) or [path])
    assert figures.product_figure([one], tmp_path / "product") == [tmp_path / "product"]
    axes = drawn[0].axes[1]
    kinds = axes.containers
    assert len(kinds) == 2
    for bars, values in zip(kinds, (found.different, found.same), strict=True):
        width = bars[0].get_width()
        counts = [round(bar.get_height() * width * len(values)) for bar in bars]
        assert sum(counts) == len(values)
        left = [bar.get_x() for bar in bars]
        for value, count in ((min(values), counts), (max(values), counts)):
            inside = [n for x, n in zip(left, count, strict=True) if x - 1e-9 <= value <= x + width + 1e-9]
            assert sum(inside) > 0
    low, high = axes.get_xlim()
    assert low < found.threshold < high
