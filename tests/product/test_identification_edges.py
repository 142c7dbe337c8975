"""Where an answer turns: just above and just below each threshold, against the definitions."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.product.test_identification import DIMENSIONS, KNOWN, PRINT, calibrated, track
from whosings.answer import Verdict
from whosings.calibration import Calibration, Logistic
from whosings.errors import GalleryError
from whosings.gallery import Gallery
from whosings.identification import Identifier, Verifier
from whosings.opinion_rows import Opinion


@pytest.fixture
def enrolled(tmp_path):
    """Opens a gallery of some of the made singers, enrolled from twelve segments each."""
    opened = []

    def enrol(*singers):
        gallery = Gallery(tmp_path / f"g{len(opened)}", PRINT)
        opened.append(gallery)
        for singer in singers:
            gallery.add(f"singer {singer}", track([singer] * 12, singer, 0.5), str(singer))
        return gallery

    yield enrol
    for gallery in opened:
        gallery.close()


def prior_for(probability, unknown, wanted):
    """The prior with which odds of ``probability`` to ``unknown`` at an even prior become ``wanted``."""
    return 1 / (1 + wanted * unknown / probability)


@pytest.mark.parametrize("singers", [(1,), (1, 2, 3)])
def test_a_singer_is_named_who_is_likelier_than_anybody_else(enrolled, singers):
    """The prior moves nothing but the odds, so that it can set them to just above and just below one."""
    gallery, probe = enrolled(*singers), track([1, 2] * 3, 11, noise=2.0)
    best = Identifier(gallery, calibrated(KNOWN)).answer(probe)
    for wanted, verdict in ((1.01, Verdict.SINGER), (0.99, Verdict.UNKNOWN)):
        prior = prior_for(best.top[0].probability, best.unknown_probability, wanted)
        answer = Identifier(gallery, calibrated(KNOWN), prior).answer(probe)
        assert answer.top[0].probability / answer.unknown_probability == pytest.approx(wanted, rel=1e-3)
        assert answer.verdict is verdict


def test_a_segment_is_named_where_a_singer_is_likelier_than_anybody_else(enrolled):
    gallery, probe = enrolled(1), track([1] * 3, 12, noise=2.0)
    for number in range(3):
        segment = Identifier(gallery, calibrated(KNOWN), 0.5).answer(probe).timeline[number]
        likely = segment.probability if segment.singer else 1 - segment.probability
        for wanted, singer in ((1.01, "singer 1"), (0.99, None)):
            prior = prior_for(likely, 1 - likely, wanted)
            found = Identifier(gallery, calibrated(KNOWN), prior).answer(probe).timeline[number]
            assert found.singer == singer
            likelier = wanted if singer else 1 / wanted
            assert found.probability == pytest.approx(likelier / (1 + likelier), rel=1e-3)


def test_shares_are_segments_of_the_whole_timeline(enrolled):
    probe = track([1] * 4 + [15] * 3 + [2] * 3, 13, noise=0.3)
    answer = Identifier(enrolled(1, 2), calibrated(KNOWN)).answer(probe)
    named = [segment.singer for segment in answer.timeline]
    assert {c.singer: c.share for c in answer.top} == {
        name: pytest.approx(named.count(name) / 10) for name in ("singer 1", "singer 2")
    }
    assert named.count("singer 1") > 0 and named.count("singer 2") > 0 and None in named


def part_scores(gallery, probe, answer):
    """Cosine of the whole track and of a singer's own segments with each voice, (whole, part) by name."""
    voices = gallery.voices
    centre = voices.vectors.sum(axis=0) / (10 + len(voices.names))  # the calibration's own, ten times, is 0

    def unit(vector):
        return (vector - centre) / np.linalg.norm(vector - centre)

    named = np.array([segment.singer for segment in answer.timeline])
    return {
        name: (
            unit(voice) @ unit(probe.vectors.mean(axis=0)),
            unit(voice) @ unit(probe.vectors[named == name].mean(axis=0)) if (named == name).any() else None,
        )
        for name, voice in zip(voices.names, voices.vectors, strict=True)
    }


@pytest.mark.parametrize(
    ("first", "second", "alone"),
    [
        (9, 3, True),  # the least number of segments, which are the least share
        (5, 3, True),  # the least number, and more than the share
        (6, 2, False),  # the least share, but too few segments
        (12, 4, True),  # the least share of more segments
        (13, 4, False),  # under the least share
    ],
)
def test_the_least_part_of_a_duet(enrolled, first, second, alone):
    """A part counts from a quarter of the timeline and three segments on; below, the whole track is scored."""
    gallery = enrolled(1, 4)
    strict = replace(KNOWN, segment=Logistic(60, -5))
    probe = track([1] * first + [4] * second, 14, noise=0.1)
    # Neighbours are heard together: voices are set apart, so that each segment is named for its own singer.
    answer = Identifier(gallery, calibrated(strict)).answer(probe)
    named = [segment.singer for segment in answer.timeline]
    assert named.count("singer 4") == second and named.count("singer 1") == first
    scores = part_scores(gallery, probe, answer)
    found = {candidate.singer: candidate.score for candidate in answer.top}
    whole, part = scores["singer 4"]
    assert part - whole > 0.1
    assert found["singer 4"] == pytest.approx(part if alone else whole, abs=1e-4)


def test_one_voice_alone_is_scored_on_the_whole_track(enrolled):
    """Segments chosen for their likeness to one singer would flatter that singer."""
    gallery = enrolled(1, 4)
    probe = track([1] * 5 + [15] * 7, 15, noise=0.1)
    answer = Identifier(gallery, calibrated(KNOWN)).answer(probe)
    assert {segment.singer for segment in answer.timeline} == {"singer 1", None}
    whole, part = part_scores(gallery, probe, answer)["singer 1"]
    assert part - whole > 0.1
    assert next(c.score for c in answer.top if c.singer == "singer 1") == pytest.approx(whole, abs=1e-4)


def test_a_part_is_as_long_as_it_is(enrolled):
    """Scored alone, a singer's odds are those of as many segments as name them."""
    gallery = enrolled(1, 4)
    probe = track([1] * 8 + [4] * 4, 16, noise=0.1)
    answer = Identifier(gallery, calibrated(KNOWN)).answer(probe, top=2)
    named = [segment.singer for segment in answer.timeline]
    odds = {}
    for candidate in answer.top:
        count = named.count(candidate.singer)
        assert count >= 3
        reach = np.sqrt(count / (count + 2)) * np.sqrt(12 / 14)
        odds[candidate.singer] = np.exp(reach * (30 * candidate.score - 15 * reach)) / 2
    for candidate in answer.top:
        assert candidate.probability == pytest.approx(odds[candidate.singer] / (1 + sum(odds.values())), rel=1e-3)


def with_head(monkeypatch, names, heard):
    """A gallery whose fitted head says ``heard``, (segments, names), whatever it is given."""

    def head(vectors):
        assert vectors.shape == (len(heard), DIMENSIONS)
        return torch.tensor(heard, dtype=torch.float32)

    fitted = SimpleNamespace(names=names, head=head)
    monkeypatch.setattr(Gallery, "head", property(lambda gallery: fitted))


def test_a_heads_votes_order_the_singers_and_its_means_break_ties(enrolled, monkeypatch):
    """Singer 2 has most votes, singer 3 the highest mean of all; singers 1 and 3 have a vote each."""
    gallery, probe = enrolled(1, 2, 3), track([1, 2, 3, 2], 17, noise=0.3)
    heard = [[0.4, 0.35, 0.25], [0.01, 0.5, 0.49], [0.01, 0.03, 0.96], [0.01, 0.5, 0.49]]
    names = ("singer 1", "singer 2", "singer 3")
    plain = Identifier(gallery, calibrated(KNOWN)).answer(probe)
    with_head(monkeypatch, names, heard)
    answer = Identifier(gallery, calibrated(KNOWN)).answer(probe)
    assert [c.singer for c in answer.top] == ["singer 2", "singer 3", "singer 1"]
    # Whether anybody enrolled sings is still the scores' to say; the head shares the rest.
    enrolled_at_all = 1 - answer.unknown_probability
    means = dict(zip(names, np.mean(heard, axis=0), strict=True))
    for candidate in answer.top:
        assert candidate.probability == pytest.approx(enrolled_at_all * means[candidate.singer], rel=1e-4)
    for segment, row, before in zip(answer.timeline, heard, plain.timeline, strict=True):
        assert (segment.singer is None) == (before.singer is None)
        if segment.singer is not None:
            assert segment.singer == names[int(np.argmax(row))]
    assert len(plain.top) == 3 and any(segment.singer for segment in answer.timeline)


def test_a_heads_columns_follow_the_gallerys_names(enrolled, monkeypatch):
    """A head that was fitted in another order, with one singer who is left out: shares of the others add up to one."""
    gallery, probe = enrolled(1, 2, 3), track([2] * 4, 18, noise=0.3)
    with_head(monkeypatch, ("singer 3", "singer 1", "singer 2"), [[0.1, 0.3, 0.6]] * 4)
    identifier = Identifier(gallery, calibrated(KNOWN))
    answer = identifier.answer(probe)
    assert [c.singer for c in answer.top] == ["singer 2", "singer 1", "singer 3"]
    assert answer.top[0].share == 1
    without = identifier.answer(probe, leave_out="singer 2")
    assert [c.singer for c in without.top] == ["singer 1", "singer 3"]
    shares = [c.probability / (1 - without.unknown_probability) for c in without.top]
    assert shares == pytest.approx([0.75, 0.25], rel=1e-4)


def test_a_heads_segments_state_what_the_scores_leave(enrolled, monkeypatch):
    """Its probabilities, brought to a sum of one, share what is not somebody else's."""
    gallery, probe = enrolled(1, 2), track([1, 1, 1, 15, 15], 19, noise=2.0)
    before = Identifier(gallery, calibrated(KNOWN)).answer(probe).timeline
    heard = np.array([[0.8, 0.1], [0.3, 0.2], [0.1, 0.1], [0.5, 0.1], [0.5, 0.1]])
    nobody = [1 - segment.probability if segment.singer else segment.probability for segment in before]
    with_head(monkeypatch, ("singer 1", "singer 2"), heard.tolist())
    timeline = Identifier(gallery, calibrated(KNOWN)).answer(probe).timeline
    assert [segment.singer for segment in timeline] == [segment.singer for segment in before]
    assert {segment.singer for segment in before} == {"singer 1", None}
    assert any(segment.singer and segment.probability < 0.95 for segment in before)
    for segment, row, unknown in zip(timeline, heard, nobody, strict=True):
        likely = (1 - unknown) * row.max() / row.sum()
        assert segment.probability == pytest.approx(unknown if segment.singer is None else likely, abs=2e-3)


def test_files_are_embedded_and_answered_in_their_order(enrolled, monkeypatch):
    gallery, embedder = enrolled(1, 2, 3, 4, 5, 6), calibrated(KNOWN)
    tracks = {"one": track([1] * 3, 23, name="one"), "two": track([2] * 5, 24, name="two")}
    monkeypatch.setattr(type(embedder), "__call__", lambda self, path: tracks[path])
    identifier, verifier = Identifier(gallery, embedder), Verifier(embedder)
    assert identifier("two") == identifier.answer(tracks["two"])
    assert len(identifier("two").top) == 5 and len(identifier("two", 2).top) == 2
    found = verifier("one", "two")
    assert found == verifier.compare(tracks["one"], tracks["two"])
    assert (found.first, found.second) == ("one", "two")


def test_the_threshold_of_verification_is_where_it_is_stated():
    """Two recordings whose ratio is the threshold are of one singer; a hair above it, they are not."""
    pair = track([1] * 4, 20, noise=1.5), track([1] * 6, 21, noise=1.5)
    found = Verifier(calibrated(KNOWN)).compare(*pair)
    left, right = (side.vectors.mean(axis=0) for side in pair)
    score = float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))
    reach = np.sqrt(4 / 6) * np.sqrt(6 / 8)
    llr = float(reach * (35 * score - 18 * reach))
    assert found.score == pytest.approx(score, abs=1e-6)
    assert found.probability == pytest.approx(1 / (1 + np.exp(-llr)), rel=1e-4)
    for shift, same in ((-0.01, True), (0.01, False)):
        shifted = Verifier(calibrated(replace(KNOWN, threshold=llr + shift))).compare(*pair)
        assert shifted.same is same and (shifted.score >= shifted.threshold) is same


@pytest.mark.parametrize(
    ("starts", "seconds"),
    [
        ([0.0], 6.0),
        ([0.0, 3.0], 9.0),  # they share three seconds
        ([0.0, 6.0], 12.0),
        ([0.0, 3.0, 20.0], 15.0),  # with a pause that nothing covers
        ([5.0, 30.0, 31.5], 13.5),
    ],
)
def test_sung_seconds_are_those_that_a_segment_covers(enrolled, starts, seconds):
    probe = replace(track([1] * len(starts), 22), start_s=np.array(starts))
    answer = Identifier(enrolled(1), calibrated(KNOWN)).answer(probe)
    covered = np.zeros(400, bool)
    for start in starts:
        covered[round(10 * start) : round(10 * start) + 60] = True
    assert answer.vocal_s == pytest.approx(seconds) == pytest.approx(covered.sum() / 10)


def test_a_segment_is_scored_by_its_cosine_and_how_much_was_enrolled(tmp_path):
    """A timeline of one segment against the definition, with singers enrolled from one and from sixteen segments."""
    probe = track([1], 25, noise=2.0)
    with Gallery(tmp_path / "uneven", PRINT) as gallery:
        for singer, count in ((1, 1), (2, 16)):
            gallery.add(f"singer {singer}", track([singer] * count, singer, 2.0), str(singer))
        voices = gallery.voices.vectors
        centre = voices.sum(axis=0) / 12
        units = [(v - centre) / np.linalg.norm(v - centre) for v in (*voices, probe.vectors[0])]
        odds = [
            np.exp(reach * (20 * float(voice @ units[-1]) - 8 * reach)) / 2
            for voice, reach in zip(units, np.sqrt([1 / 3, 16 / 18]), strict=False)
        ]
        (segment,) = Identifier(gallery, calibrated(KNOWN)).answer(probe).timeline
    best, nobody = max(odds) / (1 + sum(odds)), 1 / (1 + sum(odds))
    assert segment.singer == (f"singer {1 + int(np.argmax(odds))}" if best > nobody else None)
    assert segment.probability == pytest.approx(max(best, nobody), rel=1e-3)


def test_a_part_of_a_short_recording_counts_as_much_as_was_heard(enrolled):
    """Its segments were heard by half: the odds of a part of six are those of three."""
    gallery, probe = enrolled(1, 4), replace(track([1] * 6 + [4] * 6, 26, noise=0.1), share=0.5)
    answer = Identifier(gallery, calibrated(replace(KNOWN, track=Logistic(8, -5)))).answer(probe, top=2)
    reach = np.sqrt(3 / 5) * np.sqrt(12 / 14)
    odds = [np.exp(reach * (8 * candidate.score - 5 * reach)) / 2 for candidate in answer.top]
    assert all(candidate.share == 0.5 and candidate.score > 0.9 for candidate in answer.top)
    assert [c.probability for c in answer.top] == pytest.approx(list(odds / (1 + np.sum(odds))), rel=1e-3)


def test_singers_whom_nothing_tells_apart_stay_in_alphabetical_order(tmp_path):
    """Thirty times the same voice, added in another order."""
    names = [f"{n:02d}" for n in range(30)]
    with Gallery(tmp_path / "same", PRINT) as gallery:
        for name in names[::-1]:
            gallery.add(name, track([1] * 4, 1), name)
        gallery.add("z", track([2] * 4, 2), "z")
        answer = Identifier(gallery, calibrated(KNOWN)).answer(track([1] * 4, 27), top=31)
    assert [candidate.singer for candidate in answer.top] == [*names, "z"]
    assert answer.top[-1].share == 0


def test_answers_carry_what_is_known_of_the_probe(enrolled):
    opinion = Opinion(0.5, 0.1, 0.9, 4)
    probe = replace(track([1, 1, 15, 15], 28, noise=0.1, name="song"), short=True, opinion=opinion, duration_s=17.5)
    answer = Identifier(enrolled(1), calibrated(KNOWN)).answer(probe)
    assert (answer.track_id, answer.duration_s, answer.short, answer.fingerprint) == ("song", 17.5, True, PRINT)
    assert answer.opinion == opinion
    assert [(part.start_s, part.duration_s) for part in answer.timeline] == [(3.0 * n, 6.0) for n in range(4)]
    assert None in {part.singer for part in answer.timeline}
    found = Verifier(calibrated(KNOWN)).compare(probe, track([1], 29))
    assert (found.false_accept_rate, found.measured_on) == (KNOWN.false_accept_rate, KNOWN.material)
    assert found.fingerprint == PRINT


def test_a_gallery_of_nobody_else_is_a_sentence(enrolled):
    with pytest.raises(GalleryError, match=r"^.*: holds nobody but singer 1; enrol more singers\.$") as caught:
        Identifier(enrolled(1), calibrated(KNOWN)).answer(track([1], 30), leave_out="singer 1")
    assert caught.value.subject.endswith("g0")


def test_without_vocals_nobody_is_certain(enrolled):
    silent = replace(track([1], 31), vectors=np.zeros((0, DIMENSIONS), np.float32), start_s=np.zeros(0))
    answer = Identifier(enrolled(1), calibrated(KNOWN)).answer(silent)
    assert (answer.verdict, answer.unknown_probability) == (Verdict.NOT_ENOUGH_VOCALS, 1.0)


def test_voices_are_made_ready_once_until_the_gallery_changes(enrolled, monkeypatch):
    gallery, embedder, made = enrolled(1), calibrated(KNOWN), []
    adapted = Calibration.adapted
    monkeypatch.setattr(Calibration, "adapted", lambda self, voices: made.append(len(voices)) or adapted(self, voices))
    identifier, probe = Identifier(gallery, embedder), track([2] * 6, 32, noise=0.3)
    assert [identifier.answer(probe).verdict for _ in range(2)] == [Verdict.UNKNOWN] * 2 and made == [1]
    gallery.add("singer 2", track([2] * 12, 2, 0.5), "2")
    assert [identifier.answer(probe).top[0].singer for _ in range(2)] == ["singer 2"] * 2 and made == [1, 2]
