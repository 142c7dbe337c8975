"""Groups of voices whose singers are known: who is in them, and that a person's word stands."""

import numpy as np
import pytest

from tests.library.made import Maker
from whosings.answer import Terms
from whosings.calibration import calibration_of
from whosings.gallery import Gallery
from whosings.gallery_rates import terms_of
from whosings.library.decision_rows import Deed, VoiceKey
from whosings.library.enrolment import enrol_voices
from whosings.library.grouping import best_span, described, regroup
from whosings.spans import Span

MAKER = Maker()


@pytest.fixture
def library(tmp_path):
    """Four singers with four songs each, a duet of the first two, and three who sing once."""
    with MAKER.library(tmp_path / "l") as opened:
        for take in range(4):
            for singer in range(4):
                tags = {"artists": [f"Artist {singer}"], "album_artist": "Various Artists"}
                MAKER.add(opened, f"{singer}-{take}", [10 * singer], take, **tags)
        MAKER.add(opened, "duet", [0, 10], 9)
        for singer in range(50, 53):
            MAKER.add(opened, f"once-{singer}", [singer])
        yield opened


def members(group):
    return sorted((voice.path.removeprefix("/songs/"), voice.number) for voice in group.voices)


def of_singer(singer, *more):
    return sorted([*((f"{singer}-{take}", 0) for take in range(4)), *more])


def by_members(groups):
    return {tuple(members(group)): group for group in groups}


def test_each_singer_is_a_group_with_clip_and_likely_names(library):
    found = regroup(library, MAKER.calibration)
    assert sorted(map(members, found)) == [
        of_singer(0, ("duet", 0)),
        of_singer(1, ("duet", 1)),
        of_singer(2),
        of_singer(3),
    ]
    assert [group.recordings for group in found] == [5, 5, 4, 4]
    for group in found:
        assert group.seconds == 15.0 * group.recordings and not group.kept and group.name is None
        assert group.clip.span == Span(12.0, 20.0) and group.clip.path == group.voices[0].path
        best = group.likely[0]
        singer = group.voices[0].path[7] if "duet" not in group.voices[0].path else group.voices[1].path[7]
        assert (best.name, best.source) == (f"Artist {singer}", "tags")
        assert best.share == pytest.approx(4 / group.recordings)
        assert "Various Artists" not in {name.name for name in group.likely}


def test_a_rerun_keeps_the_numbers_of_groups_that_grow(library):
    before = {min(members(group)): group.id for group in regroup(library, MAKER.calibration)}
    for singer in range(4):
        MAKER.add(library, f"{singer}-9", [10 * singer], 9)
    after = {min(members(group)): group.id for group in regroup(library, MAKER.calibration)}
    assert after == before and len(set(before.values())) == 4


def test_voices_that_a_gallery_names_are_left_out_and_others_are_likely_somebody(library, tmp_path):
    with Gallery(tmp_path / "g", MAKER.fingerprint, "default") as gallery:
        for take in range(5, 8):
            gallery.add("Ann", MAKER.embeddings(0, take), f"ann-{take}")
            for other in range(200, 215):
                gallery.add(f"other {other}", MAKER.embeddings(other, take), f"{other}-{take}")
        terms = terms_of(MAKER.calibration, gallery, None)
        found = regroup(library, MAKER.calibration, gallery.voices, terms)
        assert sorted(map(members, found)) == [of_singer(1, ("duet", 1)), of_singer(2), of_singer(3)]
        never = Terms(None, "", 1e9, 1e9)
        assert of_singer(0, ("duet", 0)) in map(members, regroup(library, MAKER.calibration, gallery.voices, never))
        names = {
            name.name: name for one in described(library, MAKER.calibration, gallery.voices) for name in one.likely
        }
        assert names["Ann"].source == "gallery" and names["Ann"].share > 0.9


def test_what_a_person_split_or_merged_stands_after_reruns(library):
    found = by_members(regroup(library, MAKER.calibration))
    two, three = found[tuple(of_singer(2))].id, found[tuple(of_singer(3))].id
    one = found[tuple(of_singer(1, ("duet", 1)))].id
    library.split_group(two, [VoiceKey("sha-2-0", 0)], "Ida", {})
    library.merge_groups(three, one, "Ida", {})
    for take in range(10, 13):  # more of everybody, and voices between those who were told apart
        for singer in range(4):
            MAKER.add(library, f"{singer}-{take}", [10 * singer], take)
        again = {group.id: group for group in regroup(library, MAKER.calibration)}
        assert ("2-0", 0) not in members(again[two]) and {("2-1", 0), ("2-2", 0), ("2-3", 0)} <= set(
            members(again[two])
        )
        assert set(of_singer(1, ("duet", 1))) | set(of_singer(3)) <= set(members(again[one]))
        assert three not in again and again[one].kept and again[two].kept
    grown = members(again[two])
    assert ("2-12", 0) in grown and {voice.path: voice.by_person for voice in again[two].voices}["/songs/2-12"] is False


def test_a_named_group_never_takes_in_another_kept_one(library):
    """Two halves of one voice that a person called two singers stay two."""
    whole = by_members(regroup(library, MAKER.calibration))[tuple(of_singer(2))]
    library.split_group(whole.id, [VoiceKey("sha-2-0", 0), VoiceKey("sha-2-1", 0)], "Ida", {})
    halves = by_members(regroup(library, MAKER.calibration))
    other = halves[(("2-0", 0), ("2-1", 0))]
    library.name_group(whole.id, "Ann", "Ida", {})
    library.name_group(other.id, "Bea", "Ida", {})
    names = {group.name: members(group) for group in regroup(library, MAKER.calibration) if group.name}
    assert names == {"Ann": [("2-2", 0), ("2-3", 0)], "Bea": [("2-0", 0), ("2-1", 0)]}


def test_decided_voices_are_left_out_and_rejected_ones_are_not(library):
    library.log("Ida", Deed.NOT_SUNG, VoiceKey("sha-2-0", 0), "p", None, {})
    library.log("Ida", Deed.SOMEBODY_ELSE, VoiceKey("sha-2-1", 0), "p", "Ann", {})
    library.log("Ida", Deed.REJECT, VoiceKey("sha-2-2", 0), "p", "Bob", {})
    groups = [members(group) for group in regroup(library, MAKER.calibration)]
    assert [("2-2", 0), ("2-3", 0)] in groups and all(("2-0", 0) not in own for own in groups)


def test_a_group_outlives_a_recording_that_is_forgotten_and_scanned_again(library):
    whole = by_members(regroup(library, MAKER.calibration))[tuple(of_singer(2))]
    library.name_group(whole.id, "Ann", "Ida", {})
    library.forget_files(["/songs/2-0"])
    library.forget_missing()
    assert members(next(g for g in regroup(library, MAKER.calibration) if g.name == "Ann")) == of_singer(2)[1:]
    MAKER.add(library, "2-0", [20], 0)
    again = next(g for g in regroup(library, MAKER.calibration) if g.name == "Ann")
    assert members(again) == of_singer(2) and all(voice.by_person for voice in again.voices)


def test_a_library_without_voices_has_no_groups(tmp_path):
    with MAKER.library(tmp_path / "empty") as opened:
        assert regroup(opened, MAKER.calibration) == ()
        MAKER.add(opened, "silence", [])
        assert regroup(opened, MAKER.calibration) == ()


def test_enrolling_kept_voices_is_as_enrolling_their_files(library, tmp_path):
    """The gallery's voice, what it counts for, and what it says of a probe are those of the embeddings."""
    keys = [VoiceKey(f"sha-2-{take}", 0) for take in range(4)]
    with (
        Gallery(tmp_path / "kept", MAKER.fingerprint) as kept,
        Gallery(tmp_path / "heard", MAKER.fingerprint) as heard,
    ):
        done = enrol_voices(library, kept, "Ann", [*keys, VoiceKey("sha-gone", 0), VoiceKey("sha-2-0", 7)])
        assert (done.added, done.skipped, done.missing) == (4, 0, 1)
        for take in range(4):
            heard.add("Ann", MAKER.embeddings(20, take), f"sha-2-{take}")
        np.testing.assert_allclose(kept.voices.vectors, heard.voices.vectors, atol=1e-6)
        np.testing.assert_allclose(kept.voices.segments, heard.voices.segments)
        assert enrol_voices(library, kept, "Ann", keys).skipped == 4
        (track, *_) = kept.tracks_of("Ann")
        assert track.source == "/songs/2-0" and track.start_s.tolist() == [10.0] and kept.segment_s == 6.0
        kept.check()


def test_the_best_span_is_the_middle_of_the_longest():
    assert best_span([Span(0, 3), Span(10, 30)]) == Span(16, 24)
    assert best_span([Span(0, 3), Span(5, 6)]) == Span(0, 3)


def test_the_calibration_of_the_made_voices_is_the_encoders():
    from whosings.encoder.checkpoint import load_checkpoint

    assert MAKER.calibration == calibration_of(load_checkpoint("default"))
