"""Pictures show who sings when, whatever the names are."""

import struct

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from whosings.answer import COLOURS, Answer, Candidate, Terms, TimelineSegment, Verdict
from whosings.audio import SAMPLE_RATE, Segment
from whosings.picture import PictureRow, draw

DURATION_S = 20.0
NOBODY, SILENCE = "#6b7280", "#d6dae0"


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Fewer columns: the same picture, drawn in less time."""
    monkeypatch.setattr("whosings.picture._COLUMNS", 150)


def sound(duration_s: float = DURATION_S, channels: int = 1) -> Segment:
    rng = np.random.default_rng(0)
    return Segment(rng.uniform(-0.5, 0.5, (channels, round(duration_s * SAMPLE_RATE))).astype(np.float32), 0.0, "t")


def answer(parts: list[tuple[float, float, str | None, float]], verdict=Verdict.SINGER, **fields) -> Answer:
    """``parts``: start, end, singer and probability."""
    names = list(dict.fromkeys(name for *_, name, _ in parts if name is not None)) or ["nearest"]
    values = {
        "track_id": "t",
        "verdict": verdict,
        "top": tuple(Candidate(name, 0.8, 0.6 - 0.2 * number, 0.5) for number, name in enumerate(names)),
        "unknown_probability": 0.2,
        "timeline": tuple(TimelineSegment(a, b - a, name, probability) for a, b, name, probability in parts),
        "duration_s": DURATION_S,
        "vocal_s": 10.0,
        "short": False,
        "fingerprint": "f",
        "terms": Terms(0.01, "on something", 1.0, 0.0),
    }
    return Answer(**{**values, **fields})


DUET = answer([(0.0, 10.0, "Ann", 1.0), (10.0, 20.0, "Bob", 1.0)])


def pixels(path) -> np.ndarray:
    return matplotlib.image.imread(path)[..., :3]


def columns(image: np.ndarray, colour: str, under: float = 0.35) -> np.ndarray:
    """Columns that hold a colour, below the legend."""
    part = image[int(under * image.shape[0]) :]
    hit = np.abs(part - np.array(to_rgb(colour))).max(axis=2) < 0.02
    return np.flatnonzero(hit.sum(axis=0) >= 5)


def test_a_png_of_the_expected_size(tmp_path):
    for count in (1, 2):
        path = tmp_path / "deep" / f"{count}.png"
        draw([PictureRow(DUET, sound(), "a song")] * count, path)
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", content[16:24]) == (11 * 130, int((1 + 1.15 * count) * 130))
        assert len(content) > 5000
        assert len(np.unique(pixels(path).reshape(-1, 3), axis=0)) > 20
    assert sorted(p.name for p in path.parent.iterdir()) == ["1.png", "2.png"]


def test_both_voices_of_a_duet_have_their_half(tmp_path):
    draw([PictureRow(DUET, sound(), "duet")], tmp_path / "p.png")
    image = pixels(tmp_path / "p.png")
    first, second = columns(image, COLOURS[0]), columns(image, COLOURS[1])
    assert first.size > 300
    assert second.size > 300
    assert first.max() <= second.min() + 1
    middle = (first.min() + second.max()) / 2
    assert first.max() == pytest.approx(middle, abs=0.02 * image.shape[1])
    assert second.max() - first.min() > 0.85 * image.shape[1]


def test_where_nobody_known_or_nobody_at_all_sings(tmp_path):
    parts = [(0.0, 5.0, None, 1.0), (10.0, 20.0, "Ann", 1.0)]
    draw([PictureRow(answer(parts), sound(), "x")], tmp_path / "p.png")
    image = pixels(tmp_path / "p.png")[:-30]  # without the notice, which is grey too
    nobody, silent, sung = (columns(image, colour) for colour in (NOBODY, SILENCE, COLOURS[0]))
    nobody = nobody[np.isin(nobody + 1, nobody) | np.isin(nobody - 1, nobody)]
    width = sung.max() + 1 - nobody.min()
    for found, low, high in ((nobody, 0.0, 0.25), (silent, 0.25, 0.5), (sung, 0.5, 1.0)):
        place = (found - nobody.min()) / width
        assert place.min() == pytest.approx(low, abs=0.01)
        assert place.max() == pytest.approx(high, abs=0.01)


def test_certainty_is_strength_and_the_likelier_singer_wins(tmp_path):
    parts = [
        (0.0, 10.0, "Ann", 1.0),
        (10.0, 20.0, "Ann", 0.3),
        (10.0, 20.0, "Bob", 0.4),
    ]
    draw([PictureRow(answer(parts), sound(), "x")], tmp_path / "p.png")
    image = pixels(tmp_path / "p.png")
    strong = columns(image, COLOURS[0])
    assert strong.max() < 0.55 * image.shape[1]
    opacity = 0.35 + 0.65 * 0.4 / 2
    paler = tuple(1 - opacity * (1 - channel) for channel in to_rgb(COLOURS[1]))
    pale = columns(image, paler)
    assert pale.min() >= strong.max()
    assert pale.size > 300


@pytest.mark.parametrize(
    "name",
    ["[bold]Ann[/bold]", "Ke$ha", "A \\ B_{x}^2", "Øystein Ærlig 日本", "_Anon", "x" * 120, "two\nlines", "", "100%"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of glyphs that the font lacks
def test_names_of_any_kind_do_no_harm(tmp_path, name):
    parts = [(0.0, 10.0, name, 1.0), (10.0, 20.0, "Bob", 1.0)]
    draw([PictureRow(answer(parts), sound(), name)], tmp_path / "p.png")
    image = pixels(tmp_path / "p.png")
    assert columns(image, COLOURS[0], 0.5).size > 200
    assert columns(image, COLOURS[1], 0.5).size > 200


def test_the_legend_shows_every_colour(tmp_path):
    parts = [(k * 2.0, k * 2.0 + 2.0, f"Singer {k} and the Wonderful Band", 1.0) for k in range(10)]
    draw([PictureRow(answer(parts), sound(), "x")], tmp_path / "p.png")
    image = pixels(tmp_path / "p.png")
    assert columns(image, COLOURS[0], 0.5).size > 100
    legend = image[: int(0.29 * image.shape[0])]  # waveforms begin below
    shown = [columns(legend, colour, 0).size > 20 for colour in (*COLOURS[:10], NOBODY, SILENCE)]
    assert shown == [True] * 12


@pytest.mark.parametrize(("title", "name"), [("Ke$ha # A$AP", "Ann"), ("x", "$\\frac$"), ("A$AP x_1_2 Ca$h", "Ann")])
def test_dollars_in_names_are_dollars(tmp_path, title, name):
    draw([PictureRow(answer([(0.0, 20.0, name, 1.0)]), sound(), title)], tmp_path / "p.png")
    assert columns(pixels(tmp_path / "p.png"), COLOURS[0]).size > 200


def test_a_wrong_answer_is_red_and_no_other(tmp_path):
    for right, red in ((True, False), (None, False), (False, True)):
        draw([PictureRow(DUET, sound(), "M" * 40, right)], tmp_path / "p.png")
        hits = (np.abs(pixels(tmp_path / "p.png") - np.array(to_rgb("#b91c1c"))).max(axis=2) < 0.02).sum()
        assert (hits > 20) == red


def test_short_and_silent_and_stereo_sounds(tmp_path):
    duration_s = 1.0
    silent = Segment(np.zeros((2, round(duration_s * SAMPLE_RATE)), np.float32), 0.0, "t")
    none = answer([], Verdict.NOT_ENOUGH_VOCALS, top=(), duration_s=duration_s)
    stereo = answer([(0.0, duration_s, "Ann", 1.0)], duration_s=duration_s)
    draw([PictureRow(none, silent, "silence"), PictureRow(stereo, sound(duration_s, 2), "short")], tmp_path / "p.png")
    assert columns(pixels(tmp_path / "p.png"), COLOURS[0]).size > 300


def test_all_rows_share_one_time_axis(tmp_path):
    """Ann sings all of a song half as long as Bob's: she fills half of the width."""
    half = answer([(0.0, 10.0, "Ann", 1.0)], duration_s=10.0)
    whole = answer([(0.0, 20.0, "Bob", 1.0)])
    draw([PictureRow(half, sound(10.0), "half"), PictureRow(whole, sound(), "whole")], tmp_path / "p.png")
    first, second = (columns(pixels(tmp_path / "p.png"), colour) for colour in COLOURS[:2])
    assert first.min() == pytest.approx(second.min(), abs=2)
    assert np.ptp(first) == pytest.approx(np.ptp(second) / 2, rel=0.02)


def texts(monkeypatch) -> list[str]:
    """What is written into rows from now on."""
    written = []
    usual = matplotlib.axes.Axes.text
    monkeypatch.setattr(
        matplotlib.axes.Axes, "text", lambda self, x, y, s, **how: written.append((x, s)) or usual(self, x, y, s, **how)
    )
    return written


def test_spans_of_a_duet_are_labelled_with_names(tmp_path, monkeypatch):
    """What follows without a rest has one label, and what is too short for its name has none."""
    parts = [(0.0, 4.0, "Ann", 1.0), (4.0, 8.0, "Ann", 1.0), (8.0, 8.2, "Somebody of a long name", 1.0)]
    parts += [(8.2, 12.0, None, 1.0), (14.0, 20.0, "Ann", 1.0)]
    written = texts(monkeypatch)
    draw([PictureRow(answer(parts), sound(), "duet")], tmp_path / "p.png")
    assert written == [(4.0, "Ann"), (pytest.approx(10.1), "somebody else"), (17.0, "Ann")]


def test_a_song_of_one_voice_needs_no_labels(tmp_path, monkeypatch):
    written = texts(monkeypatch)
    draw([PictureRow(answer([(0.0, 10.0, "Ann", 1.0), (12.0, 20.0, "Ann", 1.0)]), sound(), "song")], tmp_path / "p.png")
    assert written == []


def test_more_singers_than_colours(tmp_path):
    parts = [(k * 0.5, k * 0.5 + 0.5, f"singer {k}", 1.0) for k in range(40)]
    draw([PictureRow(answer(parts), sound(), "choir")], tmp_path / "p.png")
    assert columns(pixels(tmp_path / "p.png"), COLOURS[0]).size > 10
