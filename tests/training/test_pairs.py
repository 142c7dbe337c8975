from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from whosings.catalogue.manifest import Manifest, Piece, Track
from whosings.config import MODELS, PairsConfig
from whosings.errors import AudioError, TrainingError
from whosings.training.contrastive.pairs import PairDataset, PairSampler, read_band, read_voice
from whosings.training.contrastive.views import assemble, stacked

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
    assert item.voices.shape == (2, FRONT_END.channels, FRONT_END.samples)
    assert item.bands is None and item.singers == sampler.pair(5).singer
    torch.testing.assert_close(item.voices.abs().amax(dim=(1, 2)), torch.ones(2))
    np.testing.assert_array_equal(item.voices[0].numpy(), read_voice(sampler.pair(5).left, FRONT_END))
    torch.testing.assert_close(item.voices, dataset[5].voices)


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


def _with_bands(**keywords):
    manifest = _manifest(**keywords)
    return Manifest(tuple(replace(t, instrumental_path=Path(f"{t.track_id}.i.wav")) for t in manifest.tracks))


def test_mashups_put_voices_over_other_singers_bands():
    sampler = PairSampler(_with_bands(singers=6), PairsConfig(mode="mashup"), 0)
    pairs = [sampler.pair(number) for number in range(400)]
    views = [view for pair in pairs for view in (pair.left, pair.right)]
    assert all(view.stem == "vocal" for view in views)
    over = [view for view in views if view.band is not None]
    assert 0.85 < len(over) / len(views) < 0.95
    assert all(view.band.singer_id != view.track.singer_id for view in over)
    assert all(-4 <= view.voice_db <= 8 for view in over)
    assert all(view.voice_db == np.inf for view in views if view.band is None)
    assert len({view.band.track_id for view in over}) == 18
    assert 0.62 < np.mean([view.in_key for view in over]) < 0.78
    assert not any(pair.left.band == pair.right.band for pair in pairs if pair.left.band is not None)
    with pytest.raises(TrainingError, match="has no instrumental_path"):
        PairSampler(_manifest(), PairsConfig(mode="mashup"), 0)


def test_neighbouring_pairs_share_the_same_seconds_of_a_band():
    sampler = PairSampler(_with_bands(singers=8), PairsConfig(mode="mashup"), 0)
    pairs = [sampler.pair(number) for number in range(800)]
    couples = [(pairs[n], pairs[n + 1]) for n in range(0, 800, 4)]
    shared = [a.left.band_seed == b.left.band_seed != () for a, b in couples]
    assert 0.12 < np.mean(shared) < 0.3  # both have a band (0.9 each) and share (0.5 each)
    same = [(a, b) for (a, b), both in zip(couples, shared, strict=True) if both]
    assert all(a.singer != b.singer for a, b in same)
    assert np.mean([a.left.band == b.left.band for a, b in same]) > 0.6  # the others must not be of that singer


def test_a_shared_band_is_the_same_audio(small_choir):
    view = _view_with_a_band(small_choir, in_key=False)
    voice = read_voice(view, FRONT_END)
    other = replace(view, seed=(9, 9, 9), voice_db=-3.0)
    np.testing.assert_array_equal(read_band(view, voice, FRONT_END), read_band(other, 0.1 * voice, FRONT_END))
    elsewhere = read_band(replace(view, band_seed=(9, 9)), voice, FRONT_END)
    assert np.abs(elsewhere - read_band(view, voice, FRONT_END)).max() > 0.01
    assert not read_band(replace(view, band=None), voice, FRONT_END).any()


def _view_with_a_band(choir, **changes):
    sampler = PairSampler(choir, PairsConfig(mode="mashup"), 0)
    return replace(next(v for n in range(99) for v in _both(sampler.pair(n)) if v.band is not None), **changes)


def test_a_mashup_is_the_voice_and_the_band_at_the_stated_levels(small_choir):
    dataset = PairDataset(PairSampler(small_choir, PairsConfig(mode="mashup"), 0), FRONT_END)
    item = dataset[next(n for n in range(99) if np.isfinite(dataset[n].voice_db[0]))]
    voice, band = (part[0].flatten().double() for part in (item.voices, item.bands))
    for level in (6.0, -3.0):
        mix = assemble(stacked([replace(item, voice_db=torch.tensor([level, np.inf]))]), FRONT_END)
        (of_voice, of_band), *_ = torch.linalg.lstsq(torch.stack([voice, band], 1), mix[0].flatten().double()[:, None])
        torch.testing.assert_close(of_voice * voice + of_band * band, mix[0].flatten().double(), atol=1e-4, rtol=0)
        loud = [part[part.abs() > 0.01 * part.abs().max()] for part in (of_voice * voice, of_band * band)]
        assert 10 * np.log10(loud[0].square().mean() / loud[1].square().mean()) == pytest.approx(level, abs=0.5)
        torch.testing.assert_close(mix[1], item.voices[1], atol=1e-5, rtol=0)


def test_pairs_of_one_singer_may_follow_each_other_and_then_share_no_band():
    sampler = PairSampler(_with_bands(singers=6), PairsConfig(mode="mashup", pairs_per_singer=3), 0)
    pairs = [sampler.pair(number) for number in range(18 * 20)]
    for turn in range(20):
        singers = [pair.singer for pair in pairs[turn * 18 : turn * 18 + 18]]
        assert singers == [s for s in singers[::3] for _ in range(3)] and len(set(singers)) == 6
    seeds = [view.band_seed for pair in pairs for view in _both(pair) if view.band is not None]
    for first in range(0, len(pairs), 3):
        own = [view.band_seed for pair in pairs[first : first + 3] for view in _both(pair) if view.band is not None]
        assert len(set(own)) == len(own)
    assert len(set(seeds)) < len(seeds), "other singers do share"


def test_clones_of_one_target_are_the_targets_if_asked_for():
    real = _with_bands(singers=3, songs=2).tracks
    clones = tuple(
        replace(real[0], track_id=f"clone-{n}", cloned=True, target_singer_ids=targets)
        for n, targets in enumerate([("1",), ("1", "2"), ()])
    )
    manifest = Manifest((*real, *clones))
    heard = {}
    for chosen in (False, True):
        sampler = PairSampler(manifest, PairsConfig(mode="mashup", clones=chosen), 0)
        views = [(pair.singer, view) for n in range(300) for pair in [sampler.pair(n)] for view in _both(pair)]
        heard[chosen] = {(singer, view.track.track_id) for singer, view in views}
        assert not any(view.band.cloned for _, view in views if view.band is not None)
        own = [view for _, view in views if view.track.track_id == "clone-0" and view.band is not None]
        assert bool(own) == chosen and all(view.band.singer_id == "2" for view in own)  # neither source nor target
    assert heard[True] - heard[False] == {(1, "clone-0")}
    assert heard[False] == {(int(t.singer_id), t.track_id) for t in real}
