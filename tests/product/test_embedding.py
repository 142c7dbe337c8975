import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest
import soundfile
import torch

from tests.conftest import singing
from whosings import audio
from whosings.audio import SAMPLE_RATE, Segment
from whosings.config import CampplusConfig, FilterbankConfig, ModelConfig
from whosings.embedding import TrackEmbedder
from whosings.embedding_store import EmbeddingStore
from whosings.encoder.checkpoint import Checkpoint, build
from whosings.errors import AudioError, ManifestError, SilentAudioError, TooShortError
from whosings.onnx_segments import OnnxSegments
from whosings.opinion import SecondOpinion
from whosings.segment_embedding import Encoder, SegmentEmbedder
from whosings.spectrogram import LogMel, conform


def _sound(seconds, seed=0, level=0.3):
    return np.float32(level) * singing(seconds, seed)[None]


def _track(seconds, **keywords):
    return Segment(_sound(seconds, **keywords), 0.0, "track")


def test_the_ladder_is_one_path(tiny):
    """A track's vectors are what the lower rungs, and the bare network, make of its segments."""
    embedder = tiny.embedder
    track = _track(8.0)
    result = embedder(track)
    front_end = embedder.front_end
    np.testing.assert_allclose(result.start_s, [0, 1.5, 3, 4.5, 5.0])
    cuts = [track.cut(start, front_end.segment_s).samples for start in result.start_s]
    np.testing.assert_allclose(SegmentEmbedder(tiny.folder)(cuts), result.vectors, atol=1e-5)
    checkpoint = embedder.checkpoint
    spectrograms = LogMel(front_end)(torch.from_numpy(np.stack([conform(c, front_end) for c in cuts])))
    np.testing.assert_allclose(Encoder(checkpoint)(spectrograms).numpy(), result.vectors, atol=1e-5)
    bare = checkpoint.encoder(spectrograms).numpy()
    np.testing.assert_allclose(bare / np.linalg.norm(bare, axis=1, keepdims=True), result.vectors, atol=1e-5)


def test_vectors_have_unit_length_and_say_where_they_come_from(tiny):
    result = tiny.embedder(_track(10.0))
    np.testing.assert_allclose(np.linalg.norm(result.vectors, axis=1), 1, atol=1e-5)
    assert result.vectors.dtype == np.float32
    assert result.vectors.shape == (len(result.start_s), tiny.embedder.checkpoint.dimensions)
    assert result.fingerprint == tiny.embedder.checkpoint.fingerprint
    assert result.duration_s == 10.0
    assert result.segment_s == 3.0
    assert not result.short


def test_batches_do_not_change_vectors(tiny):
    track = _track(20.0)
    one = TrackEmbedder(SegmentEmbedder(tiny.folder, batch=1))(track)
    many = TrackEmbedder(SegmentEmbedder(tiny.folder, batch=64))(track)
    np.testing.assert_allclose(one.vectors, many.vectors, atol=1e-5)


def test_quiet_parts_are_left_out(tiny):
    samples = _sound(24.0)
    samples[:, 6 * SAMPLE_RATE : 15 * SAMPLE_RATE] *= 1e-3
    result = tiny.embedder(Segment(samples, 0.0, "t"))
    inside = (result.start_s > 5) & (result.start_s < 13)
    assert not inside.any()
    assert (result.start_s < 5).any()
    assert (result.start_s >= 15).any()
    assert (result.vocal >= 0.5).all()


@pytest.mark.parametrize("seconds", [1.0, 1.7, 2.9])
def test_short_recordings_are_repeated_and_flagged(tiny, seconds):
    track = _track(5.0).cut(1.0, seconds)  # from the middle: nothing to trim
    result = tiny.embedder(track)
    assert result.short
    assert len(result.vectors) == 1
    whole = np.tile(track.samples, (1, 3))[:, : 3 * SAMPLE_RATE]
    np.testing.assert_allclose(result.vectors, SegmentEmbedder(tiny.folder)([whole]), atol=1e-5)


def test_silence_around_a_short_recording_does_not_matter(tiny):
    voice = _sound(1.2)
    voice = voice[:, : voice.shape[1] // 480 * 480]
    padded = np.concatenate([np.zeros((1, 480 * 20), np.float32), voice, np.zeros((1, 480 * 11), np.float32)], axis=1)
    plain, around = (tiny.embedder(Segment(s, 0.0, "t")) for s in (voice, padded))
    np.testing.assert_allclose(plain.vectors, around.vectors, atol=1e-5)
    assert around.start_s[0] == pytest.approx(0.6)
    assert around.segment_s == plain.segment_s == pytest.approx(1.2), "what was heard, and no silence after it"


def test_refusals_name_the_track(tiny):
    with pytest.raises(TooShortError, match=r"track: lasts 0\.90 s"):
        tiny.embedder(_track(0.9))
    with pytest.raises(SilentAudioError, match="track: is silent"):
        tiny.embedder(Segment(np.zeros((1, 5 * SAMPLE_RATE), np.float32), 0.0, "track"))


def test_many_goes_on_after_failures_and_keeps_order(tiny, tmp_path, small_choir):
    (tmp_path / "text.mp3").write_text("la la la")
    good = [track.path for track in small_choir.tracks[:3]]
    results = list(tiny.embedder.many([good[0], tmp_path / "text.mp3", good[1], tmp_path / "gone.wav", good[2]]))
    assert [isinstance(r, AudioError) for r in results] == [False, True, False, True, False]
    assert "text.mp3" in str(results[1])
    np.testing.assert_allclose(results[2].vectors, tiny.embedder(good[1]).vectors, atol=1e-5)


def test_files_and_decoded_samples_agree(tiny, small_choir):
    path = small_choir.tracks[0].path
    np.testing.assert_array_equal(tiny.embedder(path).vectors, tiny.embedder(audio.load(path)).vectors)


def test_store_writes_one_table_and_resumes(tiny, tmp_path, small_choir):
    path = tmp_path / "e.parquet"
    files = [track.path for track in small_choir.tracks[:4]]
    results = [tiny.embedder(file) for file in files]
    fingerprint = results[0].fingerprint
    with pytest.raises(RuntimeError), EmbeddingStore(path, fingerprint, tracks_a_part=1) as store:
        store.add(results[0], files[0], "0")
        store.add(results[1], files[1], "1")
        raise RuntimeError("interrupted")
    assert not path.exists()
    with EmbeddingStore(path, fingerprint) as store:
        assert store.holds(files[0], "0") and not store.holds(files[0], "1")
        assert not store.holds(files[2], "2")
        store.add(results[2], files[2], "2")
        assert store.finish() == sum(len(r.vectors) for r in results[:3])
    with EmbeddingStore(path, fingerprint) as store:  # a finished file is extended
        store.add(results[3], files[3], "3")
        store.finish()
    table = pyarrow.parquet.read_table(path)
    assert table.schema.metadata[b"fingerprint"].decode() == fingerprint
    assert [p.name for p in tmp_path.iterdir()] == ["e.parquet"]
    rows = table.to_pylist()
    for result in results:
        mine = [row for row in rows if row["track_id"] == result.track_id]
        np.testing.assert_array_equal([row["start_s"] for row in mine], result.start_s)
        np.testing.assert_array_equal([row["embedding"] for row in mine], result.vectors.astype(np.float16))


def test_store_refuses_another_encoders_file_and_garbage(tmp_path, tiny, small_choir):
    path = tmp_path / "e.parquet"
    with EmbeddingStore(path, tiny.embedder.checkpoint.fingerprint) as store:
        store.add(tiny.embedder(small_choir.tracks[0].path), small_choir.tracks[0].path, "0")
        store.finish()
    with pytest.raises(ManifestError, match="holds embeddings of encoder"):
        EmbeddingStore(path, "0" * 64)
    path.write_text("not a table")
    with pytest.raises(ManifestError, match="is not a table of embeddings"):
        EmbeddingStore(path, "0" * 64)


def test_a_replaced_file_is_replaced_and_two_files_of_one_name_are_two_tracks(tiny, tmp_path, small_choir):
    path = tmp_path / "e.parquet"
    results = [replace(tiny.embedder(track.path), track_id="song.wav") for track in small_choir.tracks[:3]]
    with EmbeddingStore(path, results[0].fingerprint, tracks_a_part=1) as store:
        store.add(results[0], tmp_path / "a" / "song.wav", "0")
        store.add(results[1], tmp_path / "b" / "song.wav", "1")
        store.finish()
    with EmbeddingStore(path, results[0].fingerprint) as store:
        assert not store.holds(tmp_path / "a" / "song.wav", "2") and store.holds(tmp_path / "b" / "song.wav", "1")
        store.add(results[2], tmp_path / "a" / "song.wav", "2")
        store.finish()
    rows = pyarrow.parquet.read_table(path).to_pylist()
    for name, sha256, result in (("song.wav", "2", results[2]), (str(tmp_path / "b" / "song.wav"), "1", results[1])):
        mine = [row for row in rows if row["track_id"] == name]
        assert {row["sha256"] for row in mine} == {sha256}
        np.testing.assert_array_equal([row["embedding"] for row in mine], result.vectors.astype(np.float16))
    assert len(rows) == len(results[1].vectors) + len(results[2].vectors)


def test_a_store_of_before_there_were_hashes_is_refused(tmp_path):
    table = pyarrow.table({"track_id": ["a"], "embedding": [[1.0]]}).replace_schema_metadata({"fingerprint": "0" * 64})
    pyarrow.parquet.write_table(table, tmp_path / "e.parquet")
    with pytest.raises(ManifestError, match="as older versions wrote it; embed again into another file"):
        EmbeddingStore(tmp_path / "e.parquet", "0" * 64)


def test_store_of_nothing_writes_nothing(tmp_path):
    with EmbeddingStore(tmp_path / "e.parquet", "0" * 64) as store:
        assert store.finish() == 0
    assert list(tmp_path.iterdir()) == []


def test_store_survives_torn_parts_and_a_crash_while_finishing(tmp_path, tiny, small_choir):
    import shutil

    path = tmp_path / "e.parquet"
    result = tiny.embedder(small_choir.tracks[0].path)
    with EmbeddingStore(path, result.fingerprint, tracks_a_part=1) as store:
        store.add(result, small_choir.tracks[0].path, "0")
        shutil.copytree(tmp_path / "e.parquet.parts", tmp_path / "kept")
        store.finish()
    shutil.move(tmp_path / "kept", tmp_path / "e.parquet.parts")  # as if the parts had not been cleared away
    (tmp_path / "e.parquet.parts" / ".partial-0badcafe-1.parquet").write_bytes(b"PAR1 torn")
    with EmbeddingStore(path, result.fingerprint) as store:
        assert store.finish() == len(result.vectors)


# ---------------------------------------------------------------- encoders that are pooled by windows


@pytest.fixture(scope="module")
def pooling() -> SegmentEmbedder:
    """A tiny CAM++ of one-second segments, in float32."""
    torch.manual_seed(0)
    config = ModelConfig(
        front_end=FilterbankConfig(mel_bins=16, segment_s=1.0),
        encoder=CampplusConfig(
            channels=4, width=8, layers=(1, 1), dilations=(1, 1), growth=4, bottleneck=8, embedding=6
        ),
    )
    made = Checkpoint(build(config).eval(), config, "made")
    return SegmentEmbedder(Encoder(made, "cpu", "float32"))


def test_segments_of_a_stretch_are_near_those_heard_alone(pooling):
    track = Segment(singing(4.0)[None], 0.0, "song")
    starts = np.array([0.0, 0.5, 1.0, 2.75])
    along = pooling.along(track, starts)
    alone = pooling([track.cut(start, 1.0).samples for start in starts])
    assert along.shape == (4, 6) and (along * alone).sum(axis=1).min() > 0.9
    np.testing.assert_allclose(np.linalg.norm(along, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(along[3], alone[3], atol=1e-5)  # a stretch of its own
    assert pooling.along(track, np.zeros(0)).shape == (0, 6)


def test_long_stretches_are_heard_first_and_rows_stay_in_order(pooling, monkeypatch):
    """Memory in which the longest one fitted serves all others; in another order the heap grows with the recording."""
    front_end = FilterbankConfig(mel_bins=16, segment_s=3.0)  # long enough for short windows
    checkpoint = pooling.encoder.checkpoint
    config = checkpoint.config.model_copy(update={"front_end": front_end})
    longer = Checkpoint(checkpoint.encoder, config, "made")
    embedder = SegmentEmbedder(Encoder(longer, "cpu", "float32"))
    whole = Segment(singing(20.0)[None], 0.0, "song")
    own = [np.array(starts) for starts in ([0.0, 1.5], [6.0, 7.5, 9.0, 10.5, 12.0], [16.0])]
    heard, windows = [], Encoder.windows
    monkeypatch.setattr(
        Encoder, "windows", lambda self, maps, *wanted: heard.append(maps.shape[-1]) or windows(self, maps, *wanted)
    )
    found = embedder.listen(whole, np.concatenate(own))
    assert len(heard) == 3 and heard == sorted(heard, reverse=True)
    alone = [embedder.listen(whole, starts) for starts in own]
    np.testing.assert_array_equal(found.segments, np.concatenate([one.segments for one in alone]))
    np.testing.assert_array_equal(found.windows.start_s, np.concatenate([one.windows.start_s for one in alone]))
    np.testing.assert_array_equal(found.windows.vectors, np.concatenate([one.windows.vectors for one in alone]))


def test_segments_that_the_end_cuts_short_are_heard_by_themselves(pooling):
    track = Segment(singing(2.6)[None], 0.0, "song")
    starts = np.array([0.0, 0.8, 1.6, 2.1])
    along = pooling.along(track, starts)
    np.testing.assert_allclose(along[3], pooling([track.cut(2.1, 1.0).samples])[0], atol=1e-5)
    np.testing.assert_allclose(along[:3], pooling.along(track, starts[:3]), atol=1e-6)


def test_lengths_may_differ_in_a_batch(pooling):
    waves = [singing(seconds, 3)[None] for seconds in (0.5, 1.0, 0.3, 0.5)]
    together = pooling(waves)
    np.testing.assert_allclose(together, np.concatenate([pooling([wave]) for wave in waves]), atol=1e-5)


def test_a_short_recording_counts_for_its_share(pooling):
    class Short:
        front_end, fingerprint = FilterbankConfig(segment_s=6.0), "made"

        def __call__(self, waves):
            return np.ones((len(waves), 2), np.float32)

    embedder = TrackEmbedder(Short())
    short = embedder(Segment(singing(3.0)[None], 0.0, "short"))
    assert short.share == pytest.approx(0.5, abs=0.05) and short.amount == pytest.approx(short.share)
    long = embedder(Segment(singing(12.0)[None], 0.0, "long"))
    assert long.share == 1.0 and long.amount == len(long.vectors) == 3


def test_bf16_changes_no_more_than_rounding(pooling):
    module = pooling.encoder.checkpoint.encoder
    heard = torch.randn(1, 1, 16, 300, generator=torch.Generator().manual_seed(1)) + 5
    with torch.inference_mode():
        exact, rounded = module(heard), module.in_bf16()(heard)
    assert rounded.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(exact, rounded).min() > 0.99


@pytest.fixture
def on_disk(monkeypatch):
    monkeypatch.setattr("whosings.spool._IN_MEMORY", 1000)


def _same(streamed, whole):
    assert (streamed.duration_s, streamed.short, streamed.share) == (whole.duration_s, whole.short, whole.share)
    for name in ("start_s", "vocal", "vectors"):
        np.testing.assert_array_equal(getattr(streamed, name), getattr(whole, name))
    np.testing.assert_array_equal(streamed.activity.probability, whole.activity.probability)
    assert streamed.opinion == whole.opinion


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize("encoder", ["tiny", "pooling"])
@pytest.mark.parametrize(
    "samples",
    [16_000, 40_001, 95_999, 96_000, *(960_000 + more for more in (-1, 0, 1, 479, 800)), 1_920_001],
)
def test_streamed_and_whole_give_one_answer(request, tmp_path, encoder, samples):
    """The whole recording's level, its blocks and its stretches come out the same from a file that is read in parts."""
    fixture = request.getfixturevalue(encoder)
    segments = fixture.embedder.segments if encoder == "tiny" else fixture
    embedder = TrackEmbedder(segments, second_opinion=SecondOpinion())
    sound = np.tile(singing(20), 7)[:samples]
    left = np.float32(0.3) * sound * (1 + 0.5 * np.sin(np.arange(samples) / 30_000))
    path = tmp_path / "track.wav"
    soundfile.write(path, np.stack([left, 0.5 * sound], axis=1), SAMPLE_RATE, subtype="FLOAT")
    whole = audio.load(path, embedder.front_end.channels)
    _same(embedder(path), embedder(whole))
    _same(next(embedder.many([path])), embedder(whole))
    np.testing.assert_array_equal(embedder.at(path, [0.0, 0.5]), embedder.at(whole, [0.0, 0.5]))


@pytest.mark.usefixtures("on_disk")
def test_silence_from_a_file_is_refused_and_one_sung_minute_in_silence_is_found(tiny, tmp_path):
    path = tmp_path / "silence.flac"
    silence = np.zeros((1, 240 * SAMPLE_RATE), np.float32)
    audio.write_flac(path, silence)
    with pytest.raises(SilentAudioError):
        tiny.embedder(path)
    samples = silence.copy()
    samples[:, 100 * SAMPLE_RATE : 160 * SAMPLE_RATE] = _sound(60.0)
    audio.write_flac(path, samples)
    found = tiny.embedder(path)
    _same(found, tiny.embedder(audio.load(path)))
    assert len(found.vectors) > 30 and found.start_s.min() > 97 and found.start_s.max() < 160


def test_another_embedder_gets_a_long_track_in_groups():
    sizes = []

    class Counting:
        front_end, fingerprint = FilterbankConfig(segment_s=1.0), "made"

        def __call__(self, waves):
            sizes.append(len(waves))
            return np.array([[wave.sum(), 1.0] for wave in waves], np.float32).reshape(-1, 2)

    track, starts = _track(50.0), np.arange(0.0, 49.0, 0.25)
    found = TrackEmbedder(Counting()).at(track, starts)
    assert max(sizes) <= 64 and sum(sizes) == len(starts)
    np.testing.assert_array_equal(found[:, 0], [track.cut(start, 1.0).samples.sum() for start in starts])
    assert TrackEmbedder(Counting()).at(track, []).shape == (0, 2)


_MEMORY = """
import re, sys
from pathlib import Path
from whosings.embedding import TrackEmbedder
TrackEmbedder("fast")(sys.argv[1])
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""
"""Not by ``getrusage``: a process begins with the peak of the one that started it, be it another program."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
def test_memory_does_not_grow_with_length(tmp_path):
    """Decoded, half an hour of mono takes 110 MB."""
    minute = np.tile(0.3 * singing(20), 3)

    def peak_mb(minutes):
        path = tmp_path / f"{minutes}.flac"
        with soundfile.SoundFile(path, "w", 16_000, 1, format="FLAC", subtype="PCM_16") as file:
            for _ in range(minutes):
                file.write(minute)
        command = [sys.executable, "-c", _MEMORY, str(path)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    short, long = peak_mb(5), peak_mb(30)
    assert long - short < 25 and long < 600


def test_an_onnx_model_gets_a_long_track_in_batches(monkeypatch):
    model, sizes = OnnxSegments.__new__(OnnxSegments), []
    model.front_end, model._dimensions = FilterbankConfig(segment_s=1.0, channels=1), 2
    monkeypatch.setattr(model, "_run", lambda batch: (sizes.append(len(batch)), batch[:, :2])[1], raising=False)
    waves = [_sound(1.0, seed=seed % 3) for seed in range(37)]
    np.testing.assert_array_equal(model(waves), np.stack([conform(wave, model.front_end)[0, :2] for wave in waves]))
    assert sizes == [16, 16, 5] and model([]).shape == (0, 2)
