"""The decoder: known signals through every format, segments against whole files, and every kind of bad file."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import HAS_AV, LOSSLESS, LOSSY, NEEDS_AV, Recording, encode_with_av, music
from whosings import audio
from whosings.audio import SAMPLE_RATE, Segment
from whosings.errors import (
    AudioError,
    EmptyAudioError,
    MissingFileError,
    NonFiniteAudioError,
    TooLongError,
    TruncatedAudioError,
    UnreadableAudioError,
)

Recordings = Callable[[str], Recording]
SEGMENT_TOLERANCE = 1e-6  # stated in the module's docstring
EXACT = sorted((set(LOSSLESS) | set(LOSSY)) - {"noise.m4a"})
# Frames (native) by which a format that cannot state its encoder's delay comes late.
DELAY = {"raw.aac": 1024}


def expected(recording: Recording, channels: int) -> np.ndarray:
    """The source mixed and resampled in one go: (channels, samples)."""
    source = recording.source.astype(np.float64)
    if source.shape[1] != channels:
        source = np.repeat(source.mean(axis=1, keepdims=True), channels, axis=1)
    whole = source if recording.rate == SAMPLE_RATE else soxr.resample(source, recording.rate, SAMPLE_RATE)
    return whole.T


def refused(kind: type[AudioError], path: Path, call: Callable[[], object]) -> AudioError:
    """``call`` raises exactly ``kind``, in one sentence that names the file."""
    with pytest.raises(AudioError) as caught:
        call()
    message = str(caught.value)
    assert type(caught.value) is kind, message
    assert str(path) in message
    assert message.endswith(".") and not message.endswith("..") and "\n" not in message and "; " in message
    return caught.value


# Whole files


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", sorted(LOSSLESS))
def test_lossless_files_decode_to_their_source(recording: Recordings, name: str, channels: audio.Channels) -> None:
    made = recording(name)
    segment = audio.load(made.path, channels)
    want = expected(made, channels)
    assert segment.samples.dtype == np.float32 and segment.samples.flags.c_contiguous
    assert segment.samples.shape == want.shape == (channels, round(made.duration_s * SAMPLE_RATE))
    # A step of the integers, and what single precision costs in the resampler.
    assert np.abs(segment.samples - want).max() < LOSSLESS[name] * 1.5 + 1e-6
    assert (segment.start_s, segment.track_id) == (0.0, str(made.path))


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_files_decode_in_time_with_their_source(recording: Recordings, name: str) -> None:
    made = recording(name)
    got, want = audio.load(made.path, 1).samples[0], expected(made, 1)[0]
    delay = round(DELAY.get(name, 0) * SAMPLE_RATE / made.rate)
    # The lag at which two seconds from the middle fit best, of all within 100 ms.
    middle, reach = len(want) // 2, SAMPLE_RATE // 10
    window = got[middle - reach : middle + 2 * SAMPLE_RATE + reach]
    fits = np.correlate(window, want[middle : middle + 2 * SAMPLE_RATE])
    assert int(fits.argmax()) - reach == delay
    length = min(len(got) - delay, len(want))
    assert np.corrcoef(got[delay : delay + length], want[:length])[0, 1] > 0.97
    if name not in DELAY:
        # Matroska rounds the length up to whole packets.
        assert 0 <= len(got) - len(want) <= (1024 * SAMPLE_RATE / made.rate if name.endswith(".mka") else 0)


def test_left_stays_left(recording: Recordings) -> None:
    made = recording("cbr.mp3")
    left, right = audio.load(made.path, 2).samples
    for channel, source in zip((left, right), expected(made, 2), strict=True):
        assert np.corrcoef(channel, source)[0, 1] > 0.99
    assert np.corrcoef(left, right)[0, 1] < 0.5


def test_blocks_leave_no_seam(recording: Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pcm16.wav", "cbr.mp3", "plain.m4a", "same.flac"):
        path = recording(name).path
        at_once = audio.load(path, 2).samples
        with monkeypatch.context() as patch:
            patch.setattr(audio, "_BLOCK_S", 0.37)
            assert np.abs(audio.load(path, 2).samples - at_once).max() < SEGMENT_TOLERANCE


@pytest.mark.parametrize("name", ["pcm16.wav", "vbr.mp3", "full.opus", "plain.m4a", "surround.flac"])
def test_probe_reads_the_header(recording: Recordings, name: str) -> None:
    made = recording(name)
    info = audio.probe(made.path)
    assert (info.path, info.sample_rate, info.channels) == (made.path, made.rate, made.source.shape[1])
    assert info.frames == len(made.source) and info.duration_s == pytest.approx(made.duration_s)


def test_an_ending_means_nothing(recording: Recordings, tmp_path: Path) -> None:
    made = recording("same.flac")
    for ending in (".raw", ".mp3", ""):
        copy = tmp_path / f"copy{ending}"
        copy.write_bytes(made.path.read_bytes())
        if ending == ".raw" and not HAS_AV:  # soundfile refuses the ending, FFmpeg looks inside
            continue
        assert np.array_equal(audio.load(copy).samples, audio.load(made.path).samples)


def test_raw_aac_has_the_length_of_its_packets(recording: Recordings) -> None:
    made = recording("raw.aac")
    # FFmpeg's own guess, from the bit rate, is off by seconds; the encoder adds its delay and fills the last packet.
    assert 0 <= audio.probe(made.path).frames - len(made.source) < 2 * 1024 + 1024


def strip_first_frame(path: Path) -> bytes:
    """An MP3 without the header frame that states its length."""
    content = path.read_bytes()
    rates = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
    assert content[:2] == b"\xff\xfb" and (b"Xing" in content[:64] or b"Info" in content[:64])
    return content[144 * rates[content[2] >> 4] * 1000 // 44100 + (content[2] >> 1 & 1) :]


@pytest.mark.parametrize("name", ["cbr.mp3", "vbr.mp3"])
def test_mp3_without_a_length_header(recording: Recordings, tmp_path: Path, name: str) -> None:
    if name == "vbr.mp3" and not HAS_AV:
        pytest.skip("needs PyAV")
    made = recording(name)
    path = tmp_path / name
    path.write_bytes(strip_first_frame(made.path))
    got = audio.load(path).samples[0]
    # Without the header nothing says how much is the encoder's delay and padding: up to three frames of 1152.
    assert 0 <= len(got) - made.duration_s * SAMPLE_RATE <= 3 * 1152 * SAMPLE_RATE / 44100
    delay = round(1105 * SAMPLE_RATE / 44100)
    want = expected(made, 1)[0]
    assert np.corrcoef(got[delay : delay + len(want) - delay], want[: len(want) - delay])[0, 1] > 0.99
    for start_s in (0.0, 5.3, 8.9):
        first = round(start_s * SAMPLE_RATE)
        part = audio.read_segment(path, start_s, 1.0).samples[0]
        assert np.abs(part - got[first : first + SAMPLE_RATE]).max() < SEGMENT_TOLERANCE
    # A tag with pictures before the music changes nothing.
    tagged = tmp_path / "tagged.mp3"
    tagged.write_bytes(b"ID3\x04\0\0" + bytes([0, 0, 0x27, 0x10]) + bytes(0x27 * 128 + 0x10) + path.read_bytes())
    assert np.array_equal(audio.load(tagged).samples[0], got)


def test_flac_of_unknown_length(recording: Recordings, tmp_path: Path) -> None:
    if not HAS_AV:
        pytest.skip("needs PyAV")
    made = recording("cd.flac")
    content = bytearray(made.path.read_bytes())
    # STREAMINFO: the low 36 bits of bytes 18 to 25 are the number of samples; 0 says unknown, as pipes leave it.
    value = int.from_bytes(content[18:26], "big")
    assert value & (1 << 36) - 1 == len(made.source)
    content[18:26] = (value >> 36 << 36).to_bytes(8, "big")
    path = tmp_path / "piped.flac"
    path.write_bytes(content)
    assert np.abs(audio.load(path, 2).samples - audio.load(made.path, 2).samples).max() < SEGMENT_TOLERANCE
    assert audio.probe(path).duration_s == pytest.approx(made.duration_s)


def test_wav_written_to_a_pipe(recording: Recordings, tmp_path: Path) -> None:
    made = recording("phone.wav")
    content = made.path.read_bytes()
    at = content.index(b"data") + 4
    for size in (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000):
        path = tmp_path / "piped.wav"
        path.write_bytes(content[:at] + struct.pack("<I", size) + content[at + 4 :])
        assert np.array_equal(audio.load(path).samples, audio.load(made.path).samples)


# Segments

_WHOLE: dict[str, np.ndarray] = {}


def whole(made: Recording) -> np.ndarray:
    return _WHOLE.setdefault(made.path.name, audio.load(made.path, 2).samples)


def check_segment(made: Recording, start_s: float, duration_s: float, tolerance: float = SEGMENT_TOLERANCE) -> None:
    decoded = whole(made)
    first = round(start_s * SAMPLE_RATE)
    want = decoded[:, first : first + round(duration_s * SAMPLE_RATE)]
    got = audio.read_segment(made.path, start_s, duration_s, 2)
    assert got.samples.shape == want.shape
    assert got.start_s == first / SAMPLE_RATE
    assert np.abs(got.samples - want).max() < tolerance


@pytest.mark.parametrize("name", EXACT)
def test_segments_agree_with_the_whole_file(recording: Recordings, name: str) -> None:
    made = recording(name)
    end_s = whole(made).shape[1] / SAMPLE_RATE
    rng = np.random.default_rng(len(name))
    for start_s in rng.uniform(0, end_s - 1, 6):
        check_segment(made, float(start_s), float(rng.uniform(0.01, 1.5)))
    for start_s in (0.0, 1e-4, 0.2499, 0.2501):  # about the margin
        check_segment(made, start_s, 0.3)
    for before_end_s in (0.6, 0.25, 0.03, 1 / SAMPLE_RATE):  # in full, and cut by the end
        check_segment(made, end_s - before_end_s, 0.25)


@pytest.mark.parametrize("name", ["pcm16.wav", "vbr.mp3", "cd.ogg", "low.ogg", "plain.m4a", "odd.flac"])
@settings(max_examples=10, deadline=None)
@given(place=st.floats(0, 0.9999), duration_s=st.floats(0.001, 2.0))
def test_any_segment_agrees(recording: Recordings, name: str, place: float, duration_s: float) -> None:
    made = recording(name)
    check_segment(made, place * whole(made).shape[1] / SAMPLE_RATE, duration_s)


def test_noise_drawn_by_the_decoder_is_in_place(recording: Recordings) -> None:
    made = recording("noise.m4a")
    decoded = whole(made)
    for start_s in (1.0, 2.2, 3.5):
        got = audio.read_segment(made.path, start_s, 1.0, 2).samples
        first = round(start_s * SAMPLE_RATE)
        assert np.corrcoef(got.ravel(), decoded[:, first : first + SAMPLE_RATE].ravel())[0, 1] > 0.99


def test_a_segment_decodes_only_its_surroundings(recording: Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    frames: list[int] = []
    read = soundfile.SoundFile.read

    def counting(self: soundfile.SoundFile, count: int, **options: object) -> np.ndarray:
        block = read(self, count, **options)
        frames.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    for name in ("pcm16.wav", "cd.flac", "cbr.mp3", "cd.ogg"):
        frames.clear()
        audio.read_segment(recording(name).path, 0.7, 1.0)
        assert 44100 <= sum(frames) < 2 * 44100, name


@pytest.mark.parametrize("name", ["pcm16.wav", "cbr.mp3", "plain.m4a", "raw.aac"])
def test_segments_outside_the_file_are_refused(recording: Recordings, name: str) -> None:
    made = recording(name)
    end_s = whole(made).shape[1] / SAMPLE_RATE
    for start_s in (end_s, end_s + 0.5, end_s + 1000, 1e300):
        refused(AudioError, made.path, lambda start_s=start_s: audio.read_segment(made.path, start_s, 1.0))
    for start_s, duration_s in ((-1, 1), (0, 0), (0, -1), (0, 1e-6), (np.nan, 1), (0, np.nan), (np.inf, 1), (0, 1e9)):
        refused(AudioError, made.path, lambda s=start_s, d=duration_s: audio.read_segment(made.path, s, d))
    assert audio.read_segment(made.path, 0, 1000).samples.shape == (1, whole(made).shape[1])


def test_random_segments_are_uniform_and_seeded(recording: Recordings) -> None:
    made = recording("same.flac")
    starts = [
        audio.random_segment(made.path, 2.0, rng).start_s for rng in [np.random.default_rng(5)] for _ in range(400)
    ]
    again = audio.random_segment(made.path, 2.0, np.random.default_rng(5))
    assert again.start_s == starts[0] and again.samples.shape == (1, 2 * SAMPLE_RATE)
    assert min(starts) >= 0 and max(starts) <= 8.0
    # Kolmogorov-Smirnov against uniform on 0 to 8 seconds; 1.95 / sqrt(400) is passed once in a thousand seeds.
    ranks = np.arange(1, 401) / 400
    assert np.abs(np.sort(starts) / 8.0 - ranks).max() < 1.95 / 20


@settings(max_examples=40, deadline=None)
@given(frames=st.integers(1, 3000), rate=st.sampled_from([8000, 16000, 22050, 44100]), seed=st.integers(0, 99))
def test_random_segments_are_full_or_the_whole(
    tmp_path_factory: pytest.TempPathFactory, frames: int, rate: int, seed: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "short.wav"
    soundfile.write(path, music(rate, 1, frames / rate), rate)
    length = frames * SAMPLE_RATE / rate
    if length < 1:
        return
    segment = audio.random_segment(path, 0.05, np.random.default_rng(seed))
    # A last fraction of an output sample may or may not be there.
    if length >= 801:
        assert segment.samples.shape == (1, 800)
    elif length <= 799:
        assert segment.start_s == 0 and abs(segment.samples.shape[1] - length) <= 1


def test_cut_keeps_place_and_track() -> None:
    segment = Segment(np.arange(2 * SAMPLE_RATE, dtype=np.float32)[None], 10.0, "song")
    part = segment.cut(0.5, 1.0)
    assert (part.start_s, part.track_id, part.duration_s) == (10.5, "song", 1.0)
    assert part.samples[0, 0] == 8000 and part.samples[0, -1] == 23999
    assert segment.cut(1.5, 1.0).duration_s == 0.5
    assert audio.Segment(part.samples, 0.0, "x").duration_s == 1.0


def test_a_track_id_replaces_the_path(recording: Recordings) -> None:
    path = recording("same.flac").path
    rng = np.random.default_rng(0)
    assert audio.load(path, track_id="t").track_id == "t"
    assert audio.read_segment(path, 1, 1, track_id="t").track_id == "t"
    assert audio.random_segment(str(path), 1, rng).track_id == str(path)


# Bad files


def test_missing_folder_empty_device(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp3"
    empty.touch()
    for call in (audio.probe, audio.load, lambda path: audio.read_segment(path, 0, 1)):
        refused(MissingFileError, tmp_path / "no.mp3", lambda call=call: call(tmp_path / "no.mp3"))
        refused(MissingFileError, empty / "no.mp3", lambda call=call: call(empty / "no.mp3"))
        refused(UnreadableAudioError, tmp_path, lambda call=call: call(tmp_path))
        refused(EmptyAudioError, empty, lambda call=call: call(empty))
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)  # opening it would wait for ever
    refused(UnreadableAudioError, pipe, lambda: audio.load(pipe))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.mp3", b"No music here, only words.\n" * 100),
        ("noise.flac", random.Random(0).randbytes(20_000)),
        ("noise.wav", random.Random(1).randbytes(20_000)),
        ("noise.raw", random.Random(2).randbytes(20_000)),
        ("zeros.mp3", bytes(20_000)),
        ("one.ogg", b"O"),
        ("page.html", b"<!doctype html><title>404</title>"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for call in (audio.probe, audio.load):
        refused(UnreadableAudioError, path, lambda call=call: call(path))


def test_playlists_open_no_other_file(recording: Recordings, tmp_path: Path) -> None:
    song = recording("cbr.mp3").path
    for name, content in {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{song}\n#EXT-X-ENDLIST\n",
        "list.txt": f"ffconcat version 1.0\nfile '{song}'\n",
    }.items():
        path = tmp_path / name
        path.write_text(content)
        refused(UnreadableAudioError, path, lambda path=path: audio.load(path))


def test_a_picture_is_not_audio(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 16
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))
        for part in (frame, None):
            for packet in stream.encode(part):
                container.mux(packet)
    refused(UnreadableAudioError, path, lambda: audio.load(path))


def cut_copy(made: Recording, folder: Path, part: float) -> Path:
    content = made.path.read_bytes()
    path = folder / f"cut-{made.path.name}"
    path.write_bytes(content[: round(len(content) * part)])
    return path


@pytest.mark.parametrize("name", ["pcm16.wav", "pcm24.wav", "float.wav", "cd.aiff", "cbr.mp3", "vbr.mp3"])
def test_files_cut_in_the_middle_are_truncated(recording: Recordings, tmp_path: Path, name: str) -> None:
    path = cut_copy(recording(name), tmp_path, 0.5)
    refused(TruncatedAudioError, path, lambda: audio.load(path))
    refused(TruncatedAudioError, path, lambda: audio.read_segment(path, 8.0, 1.5))
    # What is there can still be had.
    made = recording(name)
    check = audio.read_segment(path, 2.0, 1.0, 2).samples
    assert np.abs(check - whole(made)[:, 2 * SAMPLE_RATE : 3 * SAMPLE_RATE]).max() < SEGMENT_TOLERANCE


def test_other_cut_files(recording: Recordings, tmp_path: Path) -> None:
    flac = cut_copy(recording("cd.flac"), tmp_path, 0.5)
    refused(UnreadableAudioError, flac, lambda: audio.load(flac))
    # The index of an M4A stands at its end: a cut file has none.
    if HAS_AV:
        m4a = cut_copy(recording("plain.m4a"), tmp_path, 0.5)
        refused(UnreadableAudioError, m4a, lambda: audio.load(m4a))
    # This states no length: it is shorter.
    bare = tmp_path / "bare.mp3"
    content = strip_first_frame(recording("cbr.mp3").path)
    bare.write_bytes(content[: len(content) // 2])
    assert 3 < audio.load(bare).duration_s < 7
    # Pages say where they end; a stream of whole pages without an end-of-stream mark is what broadcasts leave.
    for name in ("cd.ogg", "full.opus"):
        path = cut_copy(recording(name), tmp_path, 0.5)
        refused(TruncatedAudioError, path, lambda path=path: audio.load(path))
        content = path.read_bytes()
        path.write_bytes(content[: content.rindex(b"OggS")])
        assert 0 < audio.load(path).duration_s < 7


def wav(fmt: bytes, data: bytes) -> bytes:
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_less_than_one_sample_is_none(tmp_path: Path) -> None:
    path = tmp_path / "one.wav"
    soundfile.write(path, np.ones(1), 44100)
    for call in (audio.load, lambda path: audio.read_segment(path, 0, 1)):
        refused(EmptyAudioError, path, lambda call=call: call(path))


@pytest.mark.parametrize(
    ("rate", "channels", "bits", "kind"),
    [
        (0, 1, 16, UnreadableAudioError),
        (1, 1, 16, UnreadableAudioError),
        (0x7FFFFFFF, 1, 16, UnreadableAudioError),
        (0xFFFFFFFF, 2, 16, UnreadableAudioError),
        (44100, 0, 16, UnreadableAudioError),
        (44100, 0xFFFF, 16, UnreadableAudioError),
        (44100, 1, 0, UnreadableAudioError),
        (44100, 1, 16, EmptyAudioError),
    ],
)
def test_absurd_wav_headers(tmp_path: Path, rate: int, channels: int, bits: int, kind: type[AudioError]) -> None:
    path = tmp_path / "header.wav"
    size = channels * bits // 8
    fmt = struct.pack("<HHIIHH", 1, channels, rate, rate * size & 0xFFFFFFFF, size & 0xFFFF, bits)
    path.write_bytes(wav(fmt, b"" if kind is EmptyAudioError else bytes(64)))
    for call in (audio.probe, audio.load):
        refused(kind, path, lambda call=call: call(path))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_nan_and_infinity_are_refused(tmp_path: Path, value: float, rate: int) -> None:
    samples = music(rate, 2, 3)
    samples[2 * rate, 1] = value
    path = tmp_path / "float.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    for channels in (1, 2):
        refused(NonFiniteAudioError, path, lambda channels=channels: audio.load(path, channels))
    refused(NonFiniteAudioError, path, lambda: audio.read_segment(path, 1.5, 1.0))
    assert np.isfinite(audio.read_segment(path, 0, 1.0).samples).all()


@pytest.mark.parametrize("name", ["same.flac", "cbr.mp3", "raw.aac"])
def test_too_long_files_are_refused_whole(recording: Recordings, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = recording(name).path
    monkeypatch.setattr(audio, "MAX_DURATION_S", 5.0)
    refused(TooLongError, path, lambda: audio.load(path))
    assert audio.read_segment(path, 6.0, 1.0).duration_s == 1.0


@pytest.fixture
def nobody() -> Iterator[None]:
    """Root may read everything; be somebody else for the test."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_permission_denied(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = tmp_path / "private.wav"
    soundfile.write(path, np.zeros(100), 16000)
    path.chmod(0)
    request.getfixturevalue("nobody")
    for call in (audio.probe, audio.load):
        assert "may not be read" in str(refused(UnreadableAudioError, path, lambda call=call: call(path)))


def test_without_pyav_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "song.m4a"
    path.write_bytes(bytes(1000))
    monkeypatch.setitem(sys.modules, "av", None)
    assert "whosings[m4a]" in str(refused(UnreadableAudioError, path, lambda: audio.load(path)))


FUZZED = ["phone.wav", "float.wav", "cd.aiff", "same.flac", "vbr.mp3", "radio.mp3", "same.ogg", "full.opus"]
FUZZED += ["phone.m4a", "raw.aac", "video.mka"] if HAS_AV else []


def damage(content: bytearray, rng: random.Random) -> bytearray:
    match rng.randrange(4):
        case 0:
            for _ in range(rng.choice([1, 3, 10])):
                content[rng.randrange(min(200, len(content)))] = rng.randrange(256)
        case 1:
            for _ in range(50):
                content[rng.randrange(len(content))] = rng.randrange(256)
        case 2:
            del content[rng.randrange(1, len(content)) :]
        case 3:
            first = rng.randrange(len(content))
            del content[first : first + rng.randrange(1, 5000)]
    return content


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("name", FUZZED)
def test_damaged_files_raise_nothing_but_audio_errors(recording: Recordings, tmp_path: Path, name: str) -> None:
    # Small files: the first second or two of music, so that many cases take little time.
    made = recording(name)
    short = tmp_path / name
    source = made.source[: made.rate]
    if short.suffix in NEEDS_AV:
        encode_with_av(short, source, made.rate)
    else:
        subtype = {"float.wav": "FLOAT", "same.ogg": "VORBIS", "full.opus": "OPUS"}.get(name)
        soundfile.write(short, source, made.rate, subtype=subtype, format="OGG" if subtype == "OPUS" else None)
    whole_file = short.read_bytes()
    rng = random.Random(name)
    audio.load(short)  # libraries that open something for good do it now
    before = open_files() if Path("/proc/self/fd").exists() else None
    failed = 0
    for seed in range(20):
        short.write_bytes(damage(bytearray(whole_file), rng))
        for call in (
            audio.probe,
            lambda path: audio.load(path, 2),
            lambda path: audio.read_segment(path, 0.3, 0.5),
            lambda path, seed=seed: audio.random_segment(path, 0.5, np.random.default_rng(seed)),
        ):
            try:
                result = call(short)
            except AudioError as error:
                failed += 1
                assert str(short) in str(error) and "\n" not in str(error) and str(error).endswith(".")
            else:
                assert isinstance(result, audio.AudioInfo) or np.isfinite(result.samples).all()
    assert failed > 0
    if before is not None:
        assert open_files() == before


# Writing


def test_write_flac_round_trip(tmp_path: Path) -> None:
    samples = music(SAMPLE_RATE, 2, 1).T.copy()
    samples[0, 10], samples[1, 20] = 2.0, -2.0
    path = tmp_path / "stem.flac"
    audio.write_flac(path, samples)
    assert audio.probe(path).format == "FLAC/PCM_16"
    assert np.abs(audio.load(path, 2).samples - samples.clip(-1, 1)).max() < 2**-15 * 1.01


def test_written_in_blocks_a_file_is_the_same(tmp_path: Path) -> None:
    samples = music(16_000, 1, 2.0).T
    audio.write_flac(tmp_path / "whole.flac", samples)
    with audio.flac_writer(tmp_path / "blocks.flac") as write:
        for first in range(0, samples.shape[1], 7_001):
            write(samples[:, first : first + 7_001])
        assert not (tmp_path / "blocks.flac").exists()
    whole, blocks = (soundfile.read(tmp_path / f"{name}.flac")[0] for name in ("whole", "blocks"))
    np.testing.assert_array_equal(blocks, whole)
    with pytest.raises(KeyboardInterrupt), audio.flac_writer(tmp_path / "half.flac") as write:
        write(samples)
        raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blocks.flac", "whole.flac"]


# Streams


@pytest.mark.parametrize("name", ["cd.flac", "cbr.mp3", "full.opus", "plain.m4a", "phone.wav", "same.flac"])
@pytest.mark.parametrize("channels", [1, 2])
def test_blocks_joined_are_the_whole_file(recording: Recordings, name: str, channels: audio.Channels) -> None:
    path = recording(name).path
    blocks = list(audio.blocks(path, channels=channels, block_s=0.7))
    assert len(blocks) > 10 and all(block.shape[0] == channels and block.shape[1] for block in blocks)
    whole = audio.load(path, channels).samples
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), whole, atol=SEGMENT_TOLERANCE)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("name", ["cd.flac", "phone.wav", "dat.flac"])
def test_blocks_at_another_rate(recording: Recordings, name: str, rate: int) -> None:
    source = recording(name)
    found = np.concatenate(list(audio.blocks(source.path, rate, 2, block_s=1.0)), axis=1)
    wanted = soxr.resample(source.source.astype(np.float64), source.rate, rate).T
    assert abs(found.shape[1] - wanted.shape[1]) <= 1
    size = min(found.shape[1], wanted.shape[1])
    np.testing.assert_allclose(found[:, :size], np.broadcast_to(wanted, (2, wanted.shape[1]))[:, :size], atol=1e-4)
    stream = (source.source[first : first + 999].T for first in range(0, len(source.source), 999))
    resampled = np.concatenate(list(audio.resampled(stream, source.rate, rate, source.source.shape[1])), axis=1)
    np.testing.assert_allclose(resampled[:, :size], wanted[:, :size], atol=1e-5)


def test_blocks_refuse_what_load_refuses(recording: Recordings, tmp_path: Path) -> None:
    bad = music(8000, 1, 3.0)
    bad[-5] = np.nan
    soundfile.write(tmp_path / "nan.wav", bad, 8000, subtype="FLOAT")
    blocks = audio.blocks(tmp_path / "nan.wav", block_s=1.0)
    assert next(blocks).shape[0] == 1  # what comes before is not held back
    refused(NonFiniteAudioError, tmp_path / "nan.wav", lambda: list(blocks))
    cut = tmp_path / "cut.wav"
    cut.write_bytes(recording("pcm16.wav").path.read_bytes()[:900_000])
    refused(TruncatedAudioError, cut, lambda: list(audio.blocks(cut)))
    refused(MissingFileError, tmp_path / "none.wav", lambda: next(audio.blocks(tmp_path / "none.wav")))


_NO_ROOM = """
import resource, sys
import numpy as np
from whosings import audio

samples = (0.1 * np.random.default_rng(0).standard_normal((1, 32_000))).astype(np.float32)
write, path = getattr(audio, sys.argv[1]), sys.argv[2]
write(path, samples)
size = audio.Path(path).stat().st_size
for missing in (1, 100, size // 2):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - missing, resource.RLIM_INFINITY))
    try:
        write(path, samples)
        sys.exit(f"written with {missing} bytes too few")
    except OSError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX")
@pytest.mark.parametrize("name", ["write_flac", "write_opus"])
def test_a_file_for_which_there_is_no_room_is_an_error_that_names_it_and_the_old_one_stays(tmp_path, name):
    """libsndfile ignores that the last bytes cannot be written: files would be cut short without a word."""
    path = tmp_path / "full.audio"
    done = subprocess.run([sys.executable, "-c", _NO_ROOM, name, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"[Errno 27] File too large: '{path}'"] * 3
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert audio.load(path).duration_s == pytest.approx(2.0, abs=0.01)
