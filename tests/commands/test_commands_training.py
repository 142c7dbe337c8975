"""What calibration says on the command line."""

import json
import re
import shutil

import pytest

from whosings.encoder.checkpoint import load_checkpoint, rewrite_card
from whosings.metrics import rate_interval


@pytest.fixture
def checkpoint(tiny, tmp_path):
    """A copy, whose card may be rewritten."""
    return shutil.copytree(tiny.folder, tmp_path / "m")


def test_calibrate_states_an_interval_for_its_false_accepts(run, checkpoint, choir_folder):
    words = ("calibrate", checkpoint, "--from", choir_folder / "choir.parquet")
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    card = load_checkpoint(checkpoint).card["calibration"]
    found = re.search(r"(\d+) of (\d+) pairs of different singers pass it: ([\d.]+)% to ([\d.]+)%, with 95 %", out)
    passed, strangers, low, high = (float(value) for value in found.groups())
    assert (passed, strangers) == (card["passed"], card["strangers"])
    assert low <= 100 * passed / strangers <= high
    interval = rate_interval(card["passed"], card["strangers"])
    assert (low, high) == (pytest.approx(100 * interval.low, abs=0.05), pytest.approx(100 * interval.high, abs=0.05))
    assert f"threshold {card['threshold']:.2f} nats for {card['false_accept_rate']:.0%} false accepts" in out
    seen = json.loads(run(*words, "--json")[1])
    assert "centre" not in seen and seen["passed"] == passed


@pytest.mark.parametrize(("data", "warned"), [("choir.parquet", True), ("another.parquet", False), (None, False)])
def test_singers_that_trained_an_encoder_are_told(run, checkpoint, choir_folder, data, warned):
    card = load_checkpoint(checkpoint).card
    rewrite_card(checkpoint, card if data is None else {**card, "data": data})
    code, _, err = run("calibrate", checkpoint, "--from", choir_folder / "choir.parquet")
    assert code == 0
    assert ("was trained on choir.parquet: its rates on singers that it knows are no rates for others" in err) is warned
