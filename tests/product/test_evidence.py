"""Evidence for answers on embeddings whose truth is known by construction."""

from dataclasses import replace

import numpy as np
import pytest

from tests.product.test_identification import KNOWN, OFFSET, PRINT, calibrated, track
from tests.product.test_several_singers import song
from whosings.calibration import Logistic
from whosings.evidence import MOST_MATCHES, EvidenceFinder, enrolled_spans, seconds_of
from whosings.gallery import Gallery
from whosings.identification import Identifier
from whosings.opinion_rows import Opinion, Sound
from whosings.spans import Span

CENTRED = replace(KNOWN, centre=tuple(OFFSET / 10))
SEGMENT_S = 6.0
MINUTE = [0] * 20


@pytest.fixture
def gallery(tmp_path):
    """Eight singers with four recordings of twenty segments each."""
    with Gallery(tmp_path / "g", PRINT) as opened:
        for singer in range(8):
            for number in range(4):
                one = track([singer] * 20, 10 * singer + number, name=f"{singer}-{number}.flac")
                opened.add(f"singer {singer}", one, f"{singer}{number}")
        yield opened


def evidence(gallery, probe, calibration=CENTRED, **changes):
    """Of each voice, and the answer."""
    answer = replace(Identifier(gallery, calibrated(calibration)).answer(probe), **changes)
    return EvidenceFinder(gallery, calibration, SEGMENT_S)(answer, probe).voices, answer


def with_segment(probe, place, vector):
    """The probe with one segment replaced by an enrolled one."""
    vectors = probe.vectors.copy()
    vectors[place] = vector
    return replace(probe, vectors=vectors)


def test_the_passage_that_is_enrolled_is_found(gallery):
    enrolled = {one.source: one for one in gallery.tracks_of("singer 3")}
    probe = with_segment(track([3] * 12, 900), 5, enrolled["3-2.flac"].vectors[7])
    (voice,), answer = evidence(gallery, probe)
    best, *others = voice.matches
    assert (best.source, best.sha256) == ("3-2.flac", "32")
    assert best.enrolled == Span(21.0, 27.0) and best.heard == Span(15.0, 21.0), "segments begin every 3 s"
    assert best.cosine == pytest.approx(1, abs=1e-3)
    assert len(voice.matches) == MOST_MATCHES and voice.recordings == 4
    assert {one.source for one in others} < set(enrolled) and best.cosine > others[0].cosine >= others[1].cosine
    assert best.recording_s == 63 and voice.enrolled_s == 4 * 63
    assert (voice.singer, voice.probability, voice.spans) == ("singer 3", *_of(answer.voices[0]))
    assert any("the same as one of 3-2.flac" in caveat for caveat in voice.caveats)


def _of(voice):
    return voice.probability, voice.spans


def test_cosines_are_those_of_the_definition(gallery):
    """All pairs one by one, without the mean of the gallery's voices and the calibration's."""
    probe = track([3] * 12, 900)
    (voice,), _ = evidence(gallery, probe)
    voices = gallery.voices.vectors
    centre = (voices.sum(axis=0) + 10 * np.array(CENTRED.centre)) / (len(voices) + 10)

    def cosine(one, other):
        one, other = one - centre, other - centre
        return one @ other / np.linalg.norm(one) / np.linalg.norm(other)

    for match in voice.matches:
        (known,) = (one for one in gallery.tracks_of("singer 3") if one.source == match.source)
        pairs = {
            (start, begin): cosine(one, other)
            for start, one in zip(probe.start_s, probe.vectors, strict=True)
            for begin, other in zip(known.start_s, known.vectors, strict=True)
        }
        assert match.cosine == pytest.approx(max(pairs.values()), abs=1e-5)
        assert max(pairs, key=pairs.get) == (match.heard.start_s, match.enrolled.start_s)
        whole = cosine(probe.vectors.mean(axis=0), known.vectors.mean(axis=0))
        assert match.recording_cosine == pytest.approx(whole, abs=1e-5)


def test_the_runner_up_is_the_next_in_the_answer(gallery):
    (voice,), answer = evidence(gallery, track([3] * 12, 900))
    first, second = answer.top[:2]
    assert (voice.runner_up.singer, voice.score) == (second.singer, pytest.approx(first.score, abs=1e-6))
    assert voice.runner_up.score == pytest.approx(second.score, abs=1e-6)
    assert voice.runner_up.margin == pytest.approx(first.score - second.score, abs=1e-6)
    assert voice.runner_up.times == pytest.approx(first.probability / second.probability, rel=1e-3)
    assert voice.runner_up.words == "more than 1,000 times as likely as"


def test_a_close_runner_up_is_told(gallery):
    """With a flat calibration nobody is much likelier than the next."""
    flat = replace(CENTRED, track=Logistic(3.0, 2.0))
    (voice,), answer = evidence(gallery, track([3] * 12, 900), flat)
    times = answer.top[0].probability / answer.top[1].probability
    assert voice.runner_up.times == pytest.approx(times, rel=1e-3) and 1.5 < times < 20
    assert voice.runner_up.words == f"about {times:.2g} times as likely as"
    assert f"The runner-up is close: singer 3 is about {times:.2g} times as likely as singer 5." in {
        caveat.replace(voice.runner_up.singer, "singer 5") for caveat in voice.caveats
    }


def test_a_clear_answer_has_no_caveat(gallery):
    (voice,), _ = evidence(gallery, track([3] * 12, 900))
    assert voice.caveats == ()


def test_nobody_named_means_no_evidence(gallery):
    voices, answer = evidence(gallery, track([12] * 12, 900))
    assert answer.named == () and voices == ()
    probe = track([3], 1)
    silent = replace(probe, vectors=probe.vectors[:0], start_s=probe.start_s[:0], vocal=probe.vocal[:0])
    assert evidence(gallery, silent)[0] == ()


def test_each_voice_of_a_duet_is_shown_where_it_sings(gallery):
    (first, second), answer = evidence(gallery, song([((1,), 25), ((4,), 15)]))
    assert [first.singer, second.singer] == ["singer 1", "singer 4"] == list(answer.named)
    for match in first.matches:
        assert match.source.startswith("1-") and match.heard.stop_s <= 25.5
    for match in second.matches:
        assert match.source.startswith("4-") and match.heard.start_s >= 24.5
    assert second.runner_up.singer != "singer 4"


def test_a_voice_under_another_has_no_runner_up(gallery):
    voices, _ = evidence(gallery, song([((3, 6), 40)], noise=0.1))
    assert {voice.singer for voice in voices} == {"singer 3", "singer 6"}
    above, below = voices
    assert above.runner_up is not None and not above.together
    assert below.runner_up is None and below.together
    assert any("under another one" in caveat for caveat in below.caveats)


def _says(voice, words):
    return any(words in caveat for caveat in voice.caveats)


def test_little_to_hear_or_to_compare_is_told(gallery):
    gallery.add("singer 9", track([9] * 3, 999, name="9-0.flac"), "90")
    (voice,), _ = evidence(gallery, track([9] * 2, 901))
    assert _says(voice, "Only 9 s of this voice were heard") and _says(voice, "Only one recording of singer 9")
    assert _says(voice, "Only 12 s of singer 9 are enrolled")
    (voice,), _ = evidence(gallery, track([9] * 20, 902))
    assert not _says(voice, "were heard") and _says(voice, "Only one recording of singer 9")
    gallery.add("singer 9", track([9] * 20, 998, name="9-1.flac"), "91")
    (voice,), _ = evidence(gallery, track([9] * 20, 902))
    assert not _says(voice, "Only")


def test_a_short_recording_counts_for_its_own_seconds(gallery):
    one = replace(track([9], 5, noise=0.2, name="9-0.flac"), share=0.5, short=True, segment_s=3.0, duration_s=3.0)
    gallery.add("singer 9", one, "90")
    (enrolled,) = gallery.tracks_of("singer 9")
    assert enrolled.heard_s(SEGMENT_S) == 3 and enrolled_spans(enrolled, SEGMENT_S) == (Span(0.0, 3.0),)
    probe = replace(track([9], 6, noise=0.2), share=0.25, short=True, segment_s=2.0, duration_s=2.0)
    (voice,), _ = evidence(gallery, probe, replace(CENTRED, noise=0.0))
    assert voice.matches[0].enrolled == Span(0.0, 3.0) and voice.matches[0].heard == Span(0.0, 1.5)
    assert _says(voice, "shorter than one segment")


def test_effects_are_told_where_the_second_opinion_speaks(gallery):
    probe = track([3] * 12, 900)
    for sound in Sound:
        (voice,), _ = evidence(gallery, probe, opinion=Opinion(0.9, 0.04, 0.5, 12, sound))
        assert _says(voice, "sounds resynthesised; without the effects") == (sound is Sound.RESYNTHESISED)


def test_recordings_that_disagree_and_second_names_are_told(gallery):
    gallery.add("singer 3", track([5] * 20, 777, name="wrong.flac"), "wrong")
    (voice,), _ = evidence(gallery, track([3] * 20, 900))
    assert voice.caveats == ("wrong.flac sounds unlike singer 3's other 4 recordings; most like singer 5.",)
    gallery.add("Second", track([2] * 20, 778, name="again.flac"), "again")
    (voice,), _ = evidence(gallery, track([2] * 20, 900))
    assert {"Second", "singer 2"} == {voice.singer, voice.runner_up.singer}
    assert _says(
        voice, f"{voice.singer} and {voice.runner_up.singer} sound like one singer; if they are, merge"
    ) and _says(voice, "is close")


def test_only_singers_who_are_named_are_read(gallery, monkeypatch):
    read = []
    rows = Gallery._track_rows
    monkeypatch.setattr(
        Gallery, "_track_rows", lambda self, some, width: read.append([*some]) or rows(self, some, width)
    )
    evidence(gallery, song([((1,), 25), ((4,), 15)]))
    assert [[row.name for row in some] for some in read] == [["singer 1"], ["singer 4"]]


def test_a_gallery_that_changes_is_looked_at_again(gallery):
    finder, probe = EvidenceFinder(gallery, CENTRED, SEGMENT_S), track([3] * 12, 900)
    identifier = Identifier(gallery, calibrated(CENTRED))
    assert finder(identifier.answer(probe), probe).voices[0].recordings == 4
    gallery.add("Aaron", track([11] * 20, 1, name="a.flac"), "a")
    gallery.add("singer 3", track([3] * 20, 2, name="new.flac"), "new")
    again = finder(identifier.answer(probe), probe).voices[0]
    assert again.singer == "singer 3" and again.recordings == 5


def test_clocks_and_seconds():
    assert str(Span(0.0, 59.96)) == "0:00.0-1:00.0" and str(Span(61.25, 3725.0)) == "1:01.2-62:05.0"
    assert seconds_of((Span(0.0, 1.5), Span(2.0, 3.0))) == 2.5
