"""The pages hold what they promise: files they link to exist, and no figure is left to fill in."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmarks/README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+?)\)", page.read_text()):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            there = page.parent / path if path else page
            assert there.exists(), target
            assert not anchor or anchor in _anchors(there), target


def _anchors(page: Path) -> set[str]:
    """As GitHub names headings."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_nothing_is_left_to_fill_in(page):
    assert not re.findall(r"^[A-Z]{5,}$|\bSTEPS\b|\bTODO\b|\bTBD\b", page.read_text(), re.MULTILINE)


def test_the_model_card_agrees_with_the_shipped_checkpoint():
    from whosings.calibration import calibration_of
    from whosings.encoder.checkpoint import SHIPPED, load_checkpoint

    text = " ".join((ROOT / "MODEL_CARD.md").read_text().split())
    sizes = {name: (ROOT / f"whosings/weights/{name}/model.safetensors").stat().st_size / 1e6 for name in SHIPPED}
    for name, size in sizes.items():
        checkpoint = load_checkpoint(name)
        calibration = calibration_of(checkpoint)
        assert checkpoint.name == name and checkpoint.card["licence"] == "Apache-2.0"
        assert f"{calibration.false_accept_rate:.0%} of" in text
        assert f"{calibration.same_trials} same-singer" in text and f"{size:.1f} MB" in text
    assert sizes["fast"] < 12 and sum(sizes.values()) < 40
    origin = (ROOT / "NOTICE").read_text()
    assert "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199" in origin
    assert "CAM++" in origin and "CAM++" in load_checkpoint("default").card["origin"]
