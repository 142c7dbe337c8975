"""Doubts about who is enrolled, on embeddings whose truth is known by construction."""

from dataclasses import replace

import numpy as np
import pytest

from tests.product.test_identification import PRINT, embedder, track  # noqa: F401
from whosings import gallery_audit
from whosings.calibration import calibration_of
from whosings.gallery import Gallery
from whosings.gallery_audit import Doubts, EnrolledVoices, audit
from whosings.ranking import ReadyVoices


def namesakes(gallery, calibration, singer):
    """Other names that are likely a singer's."""
    return tuple(EnrolledVoices(ReadyVoices.of(gallery.voices, calibration)).namesakes(singer))


@pytest.fixture
def calibration(embedder):  # noqa: F811
    return calibration_of(embedder.checkpoint)


@pytest.fixture
def gallery(tmp_path):
    with Gallery(tmp_path / "g", PRINT) as opened:
        yield opened


def enrol(gallery, who_sings):
    """Names and the singers of each of their recordings."""
    for name, singers in who_sings.items():
        for number, singer in enumerate(singers):
            seed = 1000 * number + sum(map(ord, name)) * 17 + singer
            gallery.add(name, track([singer] * 8, seed, name=f"{name}-{number}.flac"), f"{name}-{number}")


def test_a_gallery_without_faults_raises_no_doubt(gallery, calibration):
    assert audit(gallery, calibration) == Doubts((), ())
    enrol(gallery, {"only": [5]})
    assert str(audit(gallery, calibration)) == ""
    enrol(gallery, {f"s{n}": [n] * 4 for n in range(20)})
    gallery.remove("only")
    assert audit(gallery, calibration) == Doubts((), ())


def test_few_of_those_who_are_right_are_doubted(tmp_path, calibration):
    """Noisy voices, where doubts would be easy to have: at most one in a hundred."""
    doubted = recordings = 0
    for seed in range(5):
        voices = np.random.default_rng([3, seed]).standard_normal((30, 64))
        with Gallery(tmp_path / str(seed), PRINT) as gallery:
            for number in range(90):
                singer = number % 30
                name = f"{singer}-{number}"
                gallery.add(f"s{singer}", track([singer] * 4, 91 * seed + number, 2.0, name, voices), name)
            found = audit(gallery, calibration)
        doubted, recordings = doubted + len(found.misfits), recordings + 90
        assert len(found.duplicates) <= 1
    assert doubted <= 0.02 * recordings


def test_swapped_recordings_are_told_and_whose_they_are(gallery, calibration):
    enrol(gallery, {f"s{n}": [n] * 5 for n in range(4, 12)} | {"Ann": [0, 0, 1, 0, 0], "Bob": [1, 1, 1, 0, 1]})
    enrol(gallery, {"Cy": [2, 2, 2, 39]})
    found = audit(gallery, calibration)
    assert [str(one) for one in found.misfits] == [
        "Ann-2.flac sounds unlike Ann's other 4 recordings; most like Bob",
        "Bob-3.flac sounds unlike Bob's other 4 recordings; most like Ann",
        "Cy-3.flac sounds unlike Cy's other 3 recordings; like nobody enrolled",
    ]
    assert not found.duplicates and all(one.nats > np.log(100) for one in found.misfits)


def test_one_voice_under_two_names_is_told_once(gallery, calibration):
    enrol(gallery, {f"s{n}": [n] * 3 for n in range(3, 12)} | {"Ann": [0, 0], "Anne": [0], "Bob": [1, 1]})
    found = audit(gallery, calibration)
    assert [str(one) for one in found.duplicates] == ["Ann and Anne sound like one singer"]
    assert not found.misfits


def test_a_named_singers_other_name_is_told(gallery, calibration):
    enrol(gallery, {f"s{n}": [n] * 3 for n in range(3, 12)} | {"Ann": [0, 0], "Anne": [0], "Bob": [1, 1]})
    assert [str(one) for one in namesakes(gallery, calibration, "Ann")] == ["Ann and Anne sound like one singer"]
    assert [one.second for one in namesakes(gallery, calibration, "Anne")] == ["Ann"]
    assert namesakes(gallery, calibration, "Bob") == ()


def test_two_recordings_are_enough_and_a_gallery_of_one_has_no_namesakes(gallery, calibration):
    enrol(gallery, {"Ann": [0]})
    assert namesakes(gallery, calibration, "Ann") == ()
    enrol(gallery, {"Anne": [0], "Bob": [1]})
    assert [one.second for one in namesakes(gallery, calibration, "Ann")] == ["Anne"]
    assert namesakes(gallery, calibration, "Bob") == ()


def test_namesakes_are_found_where_too_many_are_enrolled_to_compare_all(gallery, calibration):
    """Of thousands who are unlike the singer few compete; the strict question gives up there."""
    enrol(gallery, {f"s{n}": [n] * 3 for n in range(3, 12)} | {"Ann": [0] * 3, "Anne": [0] * 3})
    rng = np.random.default_rng(5)
    own, more = gallery.voices, rng.standard_normal((9000, 64)).astype(np.float32)
    strangers = more / np.linalg.norm(more, axis=1, keepdims=True)
    names = (*own.names, *(f"~{number:05d}" for number in range(len(strangers))))
    segments = np.append(own.segments, np.full(len(strangers), 24.0))
    gallery.__dict__["voices"] = replace(
        own, names=names, vectors=np.concatenate([own.vectors, strangers]), segments=segments
    )
    assert [one.second for one in namesakes(gallery, calibration, "Ann")] == ["Anne"]


def test_few_singers_are_told_to_have_another_name(tmp_path, calibration):
    """Noisy voices of thirty different singers: odds of ten to one are wrong once in ten at most."""
    told = 0
    for seed in range(5):
        voices = np.random.default_rng([3, seed]).standard_normal((30, 64))
        with Gallery(tmp_path / str(seed), PRINT) as gallery:
            for singer in range(30):
                gallery.add(
                    f"s{singer}", track([singer] * 4, 91 * seed + singer, 2.0, f"{singer}", voices), f"{singer}"
                )
            told += sum(bool(namesakes(gallery, calibration, f"s{singer}")) for singer in range(30))
    assert told <= 15


def test_only_what_was_added_is_looked_at(gallery, calibration):
    enrol(gallery, {f"s{n}": [n] * 3 for n in range(4, 12)} | {"Ann": [0, 0, 1, 0], "Anne": [0], "Bob": [1] * 4})
    alone, whole = audit(gallery, calibration, {("Ann", "Ann-2")}), audit(gallery, calibration)
    assert [one.recording for one in alone.misfits] == [one.recording for one in whole.misfits] == ["Ann-2.flac"]
    # Sums of float32 in another order, on some processors.
    assert alone.misfits[0].nats == pytest.approx(whole.misfits[0].nats, rel=1e-6)
    assert replace(alone, misfits=()) == replace(whole, misfits=())
    assert audit(gallery, calibration, {("Ann", "Ann-1")}).misfits == ()
    assert audit(gallery, calibration, {("Bob", "Bob-1")}) == Doubts((), ())
    assert audit(gallery, calibration, ()) == Doubts((), ())


def test_ratios_against_a_naive_loop(gallery, calibration, monkeypatch):
    enrol(gallery, {f"s{n}": [n] * 2 for n in range(3, 8)} | {"Ann": [0, 0, 1], "Bob": [1, 1, 1]})
    monkeypatch.setattr(gallery_audit, "_SURE", -np.inf)
    found = {one.recording: one.nats for one in audit(gallery, calibration).misfits}
    voices, adapted = gallery.voices, calibration.adapted(gallery.voices.vectors)

    def ratio(mean, amount, voice, segments):
        left, right = adapted.centred(mean), adapted.centred(voice)
        reach = np.sqrt(amount / (amount + adapted.noise) * segments / (segments + adapted.noise))
        return reach * (adapted.track.scale * (left @ right) + adapted.track.offset * reach)

    tracks = gallery.tracks()
    assert found.keys() == {one.source for one in tracks}
    for one in tracks:
        mean = one.vectors.mean(axis=0)
        rest = [t for t in tracks if t.singer == one.singer and t.source != one.source]
        own = ratio(mean, 8, np.mean([t.vectors.mean(axis=0) for t in rest], axis=0), 8 * len(rest))
        places = [n for n, name in enumerate(voices.names) if name != one.singer]
        others = [np.exp(ratio(mean, 8, voices.vectors[n], voices.segments[n])) for n in places]
        assert found[one.source] == pytest.approx(np.log(0.5 + 0.5 * np.mean(others)) - own, abs=0.01)


def test_blocks_change_nothing(gallery, calibration, monkeypatch):
    enrol(gallery, {f"s{n}": [n] * 3 for n in range(4, 12)} | {"Ann": [0, 0, 1, 0], "Anne": [0], "Bob": [1] * 4})
    whole = audit(gallery, calibration)
    assert whole.misfits and whole.duplicates
    monkeypatch.setattr(gallery_audit, "_BLOCK", 40)
    monkeypatch.setattr(gallery_audit, "_SINGERS", 2)
    blocks = audit(gallery, calibration)
    for kind in ("misfits", "duplicates"):
        for left, right in zip(getattr(whole, kind), getattr(blocks, kind), strict=True):
            assert replace(left, nats=0) == replace(right, nats=0) and left.nats == pytest.approx(right.nats, abs=1e-3)
