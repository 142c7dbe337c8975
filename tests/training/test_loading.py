from dataclasses import replace

import torch

from whosings.catalogue.manifest import Manifest, Track
from whosings.config import MODELS, PairsConfig
from whosings.training.contrastive.loading import NumberSampler, check_files
from whosings.training.contrastive.pairs import PairDataset, PairSampler
from whosings.training.contrastive.views import Sources


def test_numbers_do_not_depend_on_the_number_of_processes():
    whole = NumberSampler(8, 3, 0, 1)
    parts = [NumberSampler(8, 3, process, 4) for process in range(4)]
    for sampler in (whole, *parts):
        sampler.set_epoch(5)
    assert sorted(number for part in parts for number in part) == list(whole) == list(range(120, 144))
    assert len(whole) == 24
    assert len(parts[0]) == 6


def test_check_files_opens_what_the_mode_reads(tmp_path, small_choir):
    missing = tuple(
        Track(t.track_id, t.singer_id, t.path, vocals_path=tmp_path / "gone.flac") for t in small_choir.tracks[:2]
    )
    assert check_files(Manifest(missing), "mixture") == []
    assert len(check_files(Manifest(missing), "vocal")) == 2
    assert len(check_files(Manifest(missing), "hybrid")) == 2


def test_a_segment_near_the_end_is_whole(small_choir):
    """A piece may begin in a song's last seconds; the segment then begins earlier instead of being repeated."""
    from whosings import audio
    from whosings.catalogue.manifest import Piece

    front_end = MODELS["tiny"].front_end
    track = small_choir.tracks[0]
    last = audio.probe(track.path).duration_s - 0.3
    twins = (track, replace(track, track_id="twin"))
    manifest = Manifest(twins, tuple(Piece(t.track_id, last, 1.0) for t in twins))
    item = PairDataset(PairSampler(manifest, PairsConfig(), 0), front_end)[0]
    assert isinstance(item, Sources)
    end = audio.read_segment(track.path, last + 0.3 - front_end.segment_s, front_end.segment_s).samples
    torch.testing.assert_close(item.voices[0], torch.from_numpy(end / abs(end).max()), atol=1e-4, rtol=0)
