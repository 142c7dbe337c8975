from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from whosings.catalogue.manifest import Manifest, Piece, Track
from whosings.config import MODELS, PairsConfig
from whosings.contrastive.pairs import PairDataset, PairSampler, View, read_view
from whosings.errors import AudioError, TrainingError

FRONT_END = MODELS["tiny"].front_end


def _manifest(singers=5, songs=3, pieces=(), stems=True, **extra):
    tracks = tuple(
        Track(f"{s}-{n}", str(s), Path(f"{s}-{n}.wav"), vocals_path=Path(f"{s}-{n}.v.wav") if stems else None, **extra)
        for s in range(singers)
        for n in range(songs)
    )
    return Manifest(tracks, tuple(pieces))


def _sampler(mode="mixture", seed=0, **keywords):
    return PairSampler(_manifest(**keywords), PairsConfig(mode=mode), seed)


def test_a_pair_is_one_singer_and_two_different_songs():
    sampler = _sampler()
    for number in range(500):
        pair = sampler.pair(number)
        assert pair.left.track.singer_id == pair.right.track.singer_id
        assert pair.left.track.track_id != pair.right.track.track_id


def test_pairs_are_numbered_so_that_training_can_resume_anywhere():
    first, again = _sampler(), _sampler()
    later = [again.pair(number) for number in reversed(range(50, 60))]
    assert [first.pair(number) for number in range(50, 60)] == later[::-1]
    assert first.pair(0) != _sampler(seed=1).pair(0)


def test_each_round_holds_every_singer_once():
    sampler = _sampler(singers=7)
    for turn in range(20):
        singers = [sampler.pair(number).left.track.singer_id for number in range(turn * 7, turn * 7 + 7)]
        assert len(set(singers)) == 7
    rounds = {tuple(sampler.pair(n).left.track.singer_id for n in range(t * 7, t * 7 + 7)) for t in range(20)}
    assert len(rounds) > 15


def test_all_songs_are_drawn_evenly():
    counts = Counter(view.track.track_id for n in range(3000) for view in (_PAIRS.pair(n).left, _PAIRS.pair(n).right))
    assert len(counts) == 15
    assert max(counts.values()) / min(counts.values()) < 1.35


_PAIRS = PairSampler(_manifest(), PairsConfig(), 0)


def test_stems_of_each_mode():
    assert {v.stem for n in range(50) for v in _both(_sampler("mixture").pair(n))} == {"mixture"}
    vocal = _sampler("vocal").pair(0)
    assert vocal.left.path == vocal.left.track.vocals_path
    hybrid = _sampler("hybrid")
    counts = Counter((hybrid.pair(n).left.stem, hybrid.pair(n).right.stem) for n in range(2000))
    assert len(counts) == 4, "vocal-vocal, vocal-mixture, mixture-vocal and mixture-mixture all occur"
    assert all(400 < count < 600 for count in counts.values())


def _both(pair):
    return pair.left, pair.right


def test_segments_come_only_from_sung_pieces():
    pieces = [Piece(f"{s}-{n}", start, vocal) for s in range(3) for n in range(3) for start, vocal in _PIECES]
    sampler = PairSampler(_manifest(3, 3, pieces), PairsConfig(), 0)
    starts = {view.start_s for n in range(300) for view in _both(sampler.pair(n))}
    assert starts == {3.0, 9.0}


_PIECES = ((0.0, 0.1), (3.0, 0.9), (6.0, 0.49), (9.0, 0.5))


def test_tracks_without_singing_and_clones_are_left_out():
    pieces = [Piece("0-0", 0.0, 0.0)]
    sampler = PairSampler(_manifest(1, 3, pieces), PairsConfig(), 0)
    assert {v.track.track_id for n in range(50) for v in _both(sampler.pair(n))} == {"0-1", "0-2"}
    with pytest.raises(TrainingError, match="no singer with two tracks"):
        PairSampler(_manifest(4, 3, cloned=True), PairsConfig(), 0)


def test_singers_with_one_usable_track_are_left_out():
    tracks = (*_manifest(2, 2).tracks, Track("lonely", "9", Path("x.wav")))
    sampler = PairSampler(Manifest(tracks), PairsConfig(), 0)
    assert sampler.singers == 2


def test_missing_stems_are_named():
    with pytest.raises(TrainingError, match=r"0-0: has no vocals_path, which hybrid pairs need"):
        _sampler("hybrid", stems=False)


def test_dataset_reads_what_the_encoder_sees(small_choir):
    sampler = PairSampler(small_choir, PairsConfig(mode="hybrid"), 3)
    dataset = PairDataset(sampler, FRONT_END)
    item = dataset[5]
    assert item.shape == (2, FRONT_END.channels, FRONT_END.samples)
    torch.testing.assert_close(item.abs().amax(dim=(1, 2)), torch.ones(2))
    np.testing.assert_array_equal(item[0].numpy(), read_view(sampler.pair(5).left, FRONT_END))
    torch.testing.assert_close(item, dataset[5])


def test_a_broken_file_comes_back_as_its_error(tmp_path, small_choir):
    broken = tmp_path / "broken.flac"
    broken.write_text("not audio")
    tracks = tuple(Track(f"t{n}", "s", broken) for n in range(2))
    item = PairDataset(PairSampler(Manifest(tracks), PairsConfig(), 0), FRONT_END)[0]
    assert isinstance(item, AudioError)
    assert "broken.flac" in str(item)


def test_self_supervised_pairs_are_of_one_track_and_rounds_of_all_tracks():
    sampler = _sampler("track", singers=4, songs=3, stems=False)
    assert sampler.singers == 12
    for turn in range(5):
        pairs = [sampler.pair(number) for number in range(turn * 12, turn * 12 + 12)]
        assert all(pair.left.track == pair.right.track and pair.left.stem == "mixture" for pair in pairs)
        assert len({pair.left.track.track_id for pair in pairs}) == 12
        assert all(pair.left.seed != pair.right.seed for pair in pairs)
    assert _sampler("track", songs=1).singers == 5
    with pytest.raises(TrainingError, match="no track that holds vocals"):
        _sampler("track", songs=1, cloned=True)


def test_augmented_views_differ_from_the_file_and_are_the_same_each_time(recording):
    path = recording("same.flac").path
    plain = View(Track("t", "s", path), "mixture", 1.0, (0, 2, 5, 0))
    changed = replace(plain, augmented=True)
    first, again = read_view(changed, FRONT_END), read_view(changed, FRONT_END)
    np.testing.assert_array_equal(first, again)
    assert first.shape == read_view(plain, FRONT_END).shape
    assert np.abs(first - read_view(plain, FRONT_END)).max() > 0.01
    other = read_view(replace(changed, seed=(0, 2, 5, 1)), FRONT_END)
    assert np.abs(first - other).max() > 0.01
    sampler = PairSampler(_manifest(), PairsConfig(augment=True), 0)
    assert sampler.pair(0).left.augmented and not _sampler().pair(0).left.augmented


def test_mashups_put_voices_over_other_singers_bands():
    manifest = _manifest(singers=6)
    with_bands = Manifest(tuple(replace(t, instrumental_path=Path(f"{t.track_id}.i.wav")) for t in manifest.tracks))
    sampler = PairSampler(with_bands, PairsConfig(mode="mashup"), 0)
    pairs = [sampler.pair(number) for number in range(400)]
    views = [view for pair in pairs for view in (pair.left, pair.right)]
    assert all(view.stem == "vocal" and view.band.singer_id != view.track.singer_id for view in views)
    assert all(-4 <= view.voice_db <= 8 for view in views)
    assert len({view.band.track_id for view in views}) == 18
    shared = np.mean([pairs[n].left.band == pairs[n + 1].left.band for n in range(0, 400, 4)])
    assert 0.15 < shared < 0.5  # both share with chance a quarter, and then must not be of that singer
    with pytest.raises(TrainingError, match="has no instrumental_path"):
        PairSampler(manifest, PairsConfig(mode="mashup"), 0)


def test_a_mashup_is_the_voice_and_the_band_at_the_stated_levels(small_choir):
    sampler = PairSampler(small_choir, PairsConfig(mode="mashup"), 0)
    view = replace(sampler.pair(0).left, voice_db=6.0)
    mix = read_view(view, FRONT_END)[0]
    voice = read_view(replace(view, band=None), FRONT_END)[0]
    scale = np.dot(mix, voice) / np.dot(voice, voice)
    rest = mix - scale * voice
    loud = [part[np.abs(part) > 0.01 * np.abs(part).max()] for part in (scale * voice, rest)]
    assert 10 * np.log10(np.mean(loud[0] ** 2) / np.mean(loud[1] ** 2)) == pytest.approx(6.0, abs=1.5)
    assert np.abs(read_view(replace(view, voice_db=60.0), FRONT_END)[0] - voice).max() < 0.01
    np.testing.assert_array_equal(mix, read_view(view, FRONT_END)[0])
