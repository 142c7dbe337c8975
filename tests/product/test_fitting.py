"""A head for a gallery: kept where it helps, dropped where it does not and when the gallery changes."""

from types import SimpleNamespace

import numpy as np
import pytest

from whosings import gallery_classifier
from whosings.answer import Verdict
from whosings.calibration_fitting import calibrate
from whosings.config import HeadConfig
from whosings.embedding import Embeddings
from whosings.errors import GalleryError
from whosings.gallery import Gallery
from whosings.gallery_classifier import fit_gallery
from whosings.identification import Identifier
from whosings.vocals.activity import Activity

QUICK = HeadConfig(hidden=(64, 32), iterations_per_epoch=16, max_epochs=30, precision="float32")


def track(vectors, name="t"):
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    start, sung = 3.0 * np.arange(len(vectors)), np.ones(len(vectors))
    activity = Activity(start, sung, "network")
    return Embeddings(name, vectors.astype(np.float32), start, sung, 3.0, 30.0, "made", False, activity)


def ring(rng, singer, count=8):
    """Two sides of a cross for each singer: singers 0 and 1 have one mean voice, and no segment in common."""
    sign = np.where(np.arange(count) % 2, 1.0, -1.0)
    vectors = 0.6 * rng.normal(size=12) + 0.1 * rng.normal(size=(count, 12))  # a song, its segments
    if singer < 2:
        vectors[:, singer] += 3 * sign
        vectors[:, 11] += 1.5
    else:
        vectors[:, singer] += 3
    return vectors


def cloud(rng, singer, count=8):
    vectors = 0.25 * rng.normal(size=(count, 12))
    vectors[:, singer] += 1
    return vectors


@pytest.fixture
def gallery(tmp_path):
    with Gallery(tmp_path / "singers", "made") as opened:
        yield opened


def enrol(gallery, shape, singers=6, tracks=5):
    rng = np.random.default_rng(0)
    for singer in range(singers):
        for number in range(tracks):
            gallery.add(f"s{singer}", track(shape(rng, singer)), f"{singer}-{number}")


def test_a_head_is_kept_where_mean_voices_fail(gallery):
    enrol(gallery, ring)
    steps = []
    found = fit_gallery(gallery, QUICK, progress=lambda label, n: lambda: steps.append(label))
    assert found.kept and found.head > found.voices and found.held_back == found.singers == 6
    assert gallery.head.names == tuple(f"s{n}" for n in range(6)) and gallery.head.accuracy == found.head
    with Gallery(gallery.path) as again:
        assert again.head.before == found.voices


def test_mean_voices_stay_where_they_are_as_good(gallery):
    enrol(gallery, cloud)
    found = fit_gallery(gallery, QUICK)
    assert found.voices == 1 and not found.kept and gallery.head is None


@pytest.mark.parametrize("change", ["add", "remove", "forget"])
def test_a_head_is_of_the_gallery_as_it_was(gallery, change):
    enrol(gallery, ring)
    assert fit_gallery(gallery, QUICK).kept and gallery.head is not None
    if change == "add":
        gallery.add("s3", track(ring(np.random.default_rng(9), 3)), "new")
    elif change == "remove":
        gallery.remove("s3")
    else:
        gallery.keep_head(None)
    assert gallery.head is None
    with Gallery(gallery.path) as again:
        assert again.head is None


def test_adding_what_is_there_already_keeps_the_head(gallery):
    enrol(gallery, ring)
    fit_gallery(gallery, QUICK)
    assert not gallery.add("s3", track(ring(np.random.default_rng(9), 3)), "3-0")
    assert gallery.head is not None


def test_the_same_fit_twice(gallery):
    enrol(gallery, ring)
    first, weights = fit_gallery(gallery, QUICK), gallery.head.head.to_bytes()
    assert fit_gallery(gallery, QUICK) == first and gallery.head.head.to_bytes() == weights


def test_galleries_that_are_too_small(gallery):
    for singers, tracks in ((1, 5), (3, 2)):
        enrol(gallery, cloud, singers, tracks)
        with pytest.raises(GalleryError, match="enrol more before fitting"):
            fit_gallery(gallery, QUICK)
        for name in [one.name for one in gallery.singers()]:
            gallery.remove(name)


def test_copies_are_not_recordings(gallery):
    """Voices that no recording foretells: a copy of what is held back would name it, and nothing else does."""
    rng = np.random.default_rng(2)
    for singer in range(8):
        for number in range(3):
            # Every recording is elsewhere.
            vectors = rng.normal(size=12) + 0.3 * rng.normal(size=(8, 12))
            for copy in range(2):
                gallery.add(
                    f"s{singer}", track(vectors + 0.002 * rng.normal(size=vectors.shape)), f"{singer}-{number}{copy}"
                )
    found = fit_gallery(gallery, QUICK)
    assert found.held_back == 8 and max(found.head, found.voices) < 0.6


def test_a_recording_and_its_copy_are_too_few(gallery):
    rng = np.random.default_rng(3)
    for singer in range(3):
        vectors = cloud(rng, singer)
        for copy in range(4):
            gallery.add(f"s{singer}", track(vectors + 0.002 * rng.normal(size=vectors.shape)), f"{singer}-{copy}")
    with pytest.raises(GalleryError, match="none with 3 recordings"):
        fit_gallery(gallery, QUICK)


def test_what_counts_as_a_copy():
    rng = np.random.default_rng(4)
    whole = track(1 + 0.8 * rng.normal(size=(9, 64))).vectors
    moved = track(whole + 0.3 * rng.normal(size=64) / 8).vectors  # as another encoding does
    between = track(whole[:-1] + whole[1:]).vectors  # as a cut does
    another = track(1 + 0.8 * rng.normal(size=(9, 64))).vectors
    stranger = track(-1 + 0.8 * rng.normal(size=(9, 64))).vectors
    copies = gallery_classifier._copies
    for one, same in ((moved, True), (between, True), (whole[2:], True), (another, False), (stranger, False)):
        assert copies(whole, one) is same
        assert copies(one, whole) is same
        assert not copies(whole, one[:1])
    assert copies(whole[:1], whole[:1])
    assert not copies(whole[:1], another[:1])


def test_singers_with_few_tracks_take_part(gallery):
    rng = np.random.default_rng(1)
    enrol(gallery, ring, tracks=4)
    gallery.add("few", track(ring(rng, 7)), "few-0")
    found = fit_gallery(gallery, QUICK)
    assert found.singers == 7 and found.held_back == 6 and "few" in gallery.head.names


def identifier(gallery):
    rng = np.random.default_rng(5)
    tracks = [track(cloud(rng, n)).vectors for n in range(11) for _ in range(4)]
    card = {"calibration": calibrate(tracks, [str(n) for n in range(11) for _ in range(4)], "made").to_card()}
    checkpoint = SimpleNamespace(fingerprint="made", name="made", card=card, dimensions=12)
    return Identifier(gallery, SimpleNamespace(checkpoint=checkpoint, fingerprint="made", name="made"))


def test_identify_votes_with_the_head(gallery):
    """Singers 0 and 1 have the same mean voice: only the head can tell them apart."""
    enrol(gallery, ring)
    fit_gallery(gallery, QUICK)
    rng = np.random.default_rng(7)
    for singer in (0, 1, 3):
        answer = identifier(gallery).answer(track(ring(rng, singer)))
        assert answer.top[0].singer == f"s{singer}"
        assert sum(c.probability for c in answer.top) + answer.unknown_probability == pytest.approx(1, abs=0.05)
        assert [c.probability for c in answer.top] == sorted((c.probability for c in answer.top), reverse=True)
    assert {moment.singer for moment in answer.timeline} == {"s3"} and answer.verdict is Verdict.SINGER


def test_strangers_stay_unknown_whatever_the_head_says(gallery):
    enrol(gallery, ring)
    fit_gallery(gallery, QUICK)
    answer = identifier(gallery).answer(track(-cloud(np.random.default_rng(3), 9)))
    assert answer.verdict is Verdict.UNKNOWN and all(moment.singer is None for moment in answer.timeline)


def test_a_singer_left_out_is_not_named_by_the_head(gallery):
    enrol(gallery, ring)
    fit_gallery(gallery, QUICK)
    answer = identifier(gallery).answer(track(ring(np.random.default_rng(7), 3)), leave_out="s3", top=10)
    assert "s3" not in {c.singer for c in answer.top} and len(answer.top) == 5


def test_from_the_command_line(run, tiny, choir_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery_classifier, "HeadConfig", lambda: HeadConfig(max_epochs=2))
    gallery = tmp_path / "singers.gallery"
    words = ("--gallery", gallery, "--encoder", tiny.folder)
    assert run("enrol", "--from", choir_folder / "choir.parquet", *words)[0] == 0
    code, out, err = run("gallery", "fit", "--gallery", gallery)
    assert code == 0 and "of 6 singers: classifier" in out, err
    code, _, err = run("gallery", "fit", "--gallery", tmp_path / "none")
    assert code == 1 and "no such gallery" in err
