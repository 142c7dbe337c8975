"""Files whose headers and contents disagree, or that are damaged inside: heard whole, or refused in a sentence."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.conftest import Recording, music
from tests.ground.test_audio import SEGMENT_TOLERANCE, refused, strip_first_frame
from whosings import audio
from whosings.audio import SAMPLE_RATE
from whosings.decoding import open_source
from whosings.errors import EmptyAudioError, UnreadableAudioError
from whosings.parallel import each

Recordings = Callable[[str], Recording]


def correlation(got: np.ndarray, want: np.ndarray) -> float:
    length = min(len(got), len(want))
    return float(np.corrcoef(got[:length], want[:length])[0, 1])


def segments_agree(path: Path) -> None:
    whole = audio.load(path).samples
    for start_s in (0.1, 6.3, 11.2):
        first = round(start_s * SAMPLE_RATE)
        part = audio.read_segment(path, start_s, 1.0).samples
        assert np.abs(part - whole[:, first : first + SAMPLE_RATE]).max() < SEGMENT_TOLERANCE


# MP3


@pytest.mark.parametrize("tag", [b"", b"ID3\x03\0\0\0\0\x01\0" + bytes(128)])
def test_joined_mp3s_are_heard_to_the_end(recording: Recordings, tmp_path: Path, tag: bytes) -> None:
    first, second = recording("vbr.mp3"), recording("cbr.mp3")
    path = tmp_path / "joined.mp3"
    path.write_bytes(first.path.read_bytes() + tag + second.path.read_bytes())
    got = audio.load(path).samples[0]
    # The second file's header frame and its encoder's delay are heard as silence.
    assert 20.0 <= len(got) / SAMPLE_RATE < 20.15
    assert audio.probe(path).duration_s == pytest.approx(len(got) / SAMPLE_RATE, abs=0.01)
    want = audio.load(second.path).samples[0][: 9 * SAMPLE_RATE]
    lags = [correlation(got[10 * SAMPLE_RATE + lag :], want) for lag in range(0, 2400, 4)]
    assert max(lags) > 0.9  # noise between the samples of 16 kHz costs the rest
    segments_agree(path)


def restated(content: bytes, frames: int | None) -> bytes:
    """An MP3 whose Xing header states another number of frames, or none."""
    changed, at = bytearray(content), content.index(b"Xing")
    if frames is None:
        changed[at + 4 : at + 8] = bytes(4)
    else:
        changed[at + 8 : at + 12] = struct.pack(">I", frames)
    return bytes(changed)


def test_a_header_that_states_a_third_is_not_believed(recording: Recordings, tmp_path: Path) -> None:
    made, path = recording("vbr.mp3"), tmp_path / "third.mp3"
    path.write_bytes(restated(made.path.read_bytes(), 128))
    np.testing.assert_array_equal(audio.load(path, 2).samples, audio.load(made.path, 2).samples)


def test_a_header_without_a_number_of_frames(recording: Recordings, tmp_path: Path) -> None:
    made, path = recording("vbr.mp3"), tmp_path / "none.mp3"
    path.write_bytes(restated(made.path.read_bytes(), None))
    assert 10.0 <= audio.load(path).duration_s < 10.1


def test_letters_in_a_second_tag_are_no_header(recording: Recordings, tmp_path: Path) -> None:
    made, path = recording("vbr.mp3"), tmp_path / "tags.mp3"
    tag = b"ID3\x03\0\0\0\0\x01\0"
    path.write_bytes(tag + bytes(128) + tag + b"Info".ljust(128, b"\0") + strip_first_frame(made.path))
    assert 10.0 <= audio.load(path).duration_s < 10.1


def test_mp3_that_changes_on_its_way(recording: Recordings, tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / "changes.mp3"
    path.write_bytes(recording("cbr.mp3").path.read_bytes() + recording("low.mp3").path.read_bytes())
    assert 20.0 <= audio.load(path, 2).duration_s < 20.4
    segments_agree(path)


@pytest.mark.parametrize("name", ["cbr.mp3", "vbr.mp3"])
def test_mp3_damaged_in_the_middle_is_refused_quietly(
    recording: Recordings, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    content, path = recording(name).path.read_bytes(), tmp_path / name
    middle = len(content) // 2
    for damaged in (content[:middle] + content[middle + 5003 :], content[:middle] + b"?" * 5003 + content[middle:]):
        path.write_bytes(damaged)
        assert "interrupted at" in str(refused(UnreadableAudioError, path, lambda: audio.load(path)))
    # Tags at the end, whatever they hold, are no damage.
    path.write_bytes(content + b"LYRICSBEGINla la" + b"\xff\xfb\x90" * 9 + b"TAG".ljust(128))
    np.testing.assert_array_equal(audio.load(path).samples, audio.load(recording(name).path).samples)
    # libmpg123 writes to standard error by itself; it is not given such files.
    assert capfd.readouterr().err == ""


# WAV


def with_data_size(content: bytes, size: int) -> bytes:
    at = content.index(b"data") + 4
    return content[:at] + struct.pack("<I", size) + content[at + 4 :]


def test_wav_of_size_zero_was_written_to_a_pipe(recording: Recordings, tmp_path: Path) -> None:
    made, path = recording("pcm24.wav"), tmp_path / "piped.wav"
    path.write_bytes(with_data_size(made.path.read_bytes(), 0))
    np.testing.assert_array_equal(audio.load(path, 2).samples, audio.load(made.path, 2).samples)
    segment = audio.read_segment(path, 5.0, 1.0).samples
    np.testing.assert_array_equal(segment, audio.read_segment(made.path, 5.0, 1.0).samples)


def test_wav_that_goes_on_after_its_stated_end_is_refused(recording: Recordings, tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    path.write_bytes(with_data_size(recording("pcm16.wav").path.read_bytes(), 176_400))
    error = refused(UnreadableAudioError, path, lambda: audio.load(path))
    assert "its header states 1.0 s of sound, and 9.0 s more follow" in str(error)


@pytest.mark.parametrize(
    "tail", [b"LIST\x04\0\x20\0INFO" + b"x" * 0x20_0000, b"id3 \0\0\x20\0" + b"\x7f" * 0x20_0000, bytes(0x20_0000)]
)
def test_what_stands_after_the_sound_is_no_sound(recording: Recordings, tmp_path: Path, tail: bytes) -> None:
    made, path = recording("pcm16.wav"), tmp_path / "tail.wav"
    path.write_bytes(made.path.read_bytes() + tail)
    np.testing.assert_array_equal(audio.load(path).samples, audio.load(made.path).samples)
    path.write_bytes(with_data_size(made.path.read_bytes(), 0)[: made.path.read_bytes().index(b"data") + 8] + tail)
    refused(EmptyAudioError, path, lambda: audio.load(path))


def test_wav_over_four_gibibytes(tmp_path: Path) -> None:
    path, rate, channels = tmp_path / "long.wav", 96_000, 8
    size = (1 << 32) + rate * channels * 4 * 2  # wraps to two seconds; a sparse file takes little room
    fmt = struct.pack("<HHIIHH", 3, channels, rate, rate * channels * 4, channels * 4, 32)
    end = music(rate, 1, 1.0).repeat(channels, axis=1)
    with path.open("wb") as file:
        file.write(b"RIFF" + bytes(4) + b"WAVEfmt " + struct.pack("<I", 16) + fmt)
        file.write(b"data" + struct.pack("<I", size & 0xFFFFFFFF))
        file.truncate(44 + size)
        file.seek(44 + size - end.nbytes)
        file.write(end.tobytes())
    duration_s = size / (rate * channels * 4)
    assert audio.probe(path).duration_s == duration_s
    start_s = duration_s - 1.0
    got = audio.read_segment(path, start_s, 0.9).samples[0]
    want = audio.resampled([end.T[:1]], rate)
    assert correlation(got, np.concatenate(list(want), axis=1)[0]) > 0.99


# Ogg


@pytest.mark.parametrize("names", [("cd.ogg", "cd.ogg"), ("full.opus", "full.opus"), ("cd.ogg", "low.ogg")])
def test_chained_ogg_is_heard_to_the_end(recording: Recordings, tmp_path: Path, names: tuple[str, str]) -> None:
    path = tmp_path / "chain.ogg"
    path.write_bytes(b"".join(recording(name).path.read_bytes() for name in names))
    got = audio.load(path).samples[0]
    assert len(got) == 20 * SAMPLE_RATE and audio.probe(path).duration_s == pytest.approx(20.0, abs=1e-3)
    for place, name in enumerate(names):
        want = audio.load(recording(name).path).samples[0]
        assert correlation(got[place * 10 * SAMPLE_RATE :], want) > 0.99
    segments_agree(path)


def test_chained_flac_in_ogg(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    one, two = tmp_path / "one.oga", tmp_path / "two.oga"
    samples = (music(SAMPLE_RATE, 1, 7.0).T * 32767).astype(np.int16)
    with av.open(str(one), "w", format="ogg") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        for first in range(0, samples.shape[1], 4096):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, first : first + 4096]), "s16", "mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, first
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    two.write_bytes(one.read_bytes() * 2)
    want = audio.load(one).samples
    np.testing.assert_array_equal(audio.load(two).samples, np.concatenate([want, want], axis=1))
    segments_agree(two)


@pytest.mark.parametrize("name", ["cd.ogg", "full.opus"])
def test_ogg_damaged_in_the_middle_is_refused(recording: Recordings, tmp_path: Path, name: str) -> None:
    content, path = recording(name).path.read_bytes(), tmp_path / name
    pages = [at for at in range(len(content)) if content.startswith(b"OggS\0", at)]
    middle = pages[len(pages) // 2]
    after = pages[len(pages) // 2 + 1]
    flipped = bytearray(content)
    flipped[middle + 300] ^= 1
    whole = {"missing": content[:middle] + content[after:], "interrupted": content[:middle] + content[middle + 99 :]}
    for reason, damaged in {**whole, "damaged": bytes(flipped)}.items():
        path.write_bytes(damaged)
        assert reason in str(refused(UnreadableAudioError, path, lambda: audio.load(path)))
    # Something after the last page is a tag.
    path.write_bytes(content + b"TAG".ljust(128))
    np.testing.assert_array_equal(audio.load(path).samples, audio.load(recording(name).path).samples)


# Channels and names


@pytest.mark.parametrize("ratio", [-1.0, -0.99])
def test_opposite_phase_is_heard(tmp_path: Path, ratio: float) -> None:
    left, path = music(44100, 1, 5.0), tmp_path / "phase.wav"
    soundfile.write(path, np.concatenate([left, ratio * left], axis=1), 44100, subtype="FLOAT")
    want = tmp_path / "left.wav"
    soundfile.write(want, left, 44100, subtype="FLOAT")
    got = audio.load(path).samples
    np.testing.assert_allclose(got, audio.load(want).samples, atol=0.02)
    for start_s in (0.0, 1.234, 3.9):
        first = round(start_s * SAMPLE_RATE)
        part = audio.read_segment(path, start_s, 0.777).samples
        assert np.abs(part - got[:, first : first + part.shape[1]]).max() < SEGMENT_TOLERANCE


def test_wide_stereo_is_averaged(recording: Recordings) -> None:
    made = recording("pcm16.wav")
    half = audio.load(made.path, 2).samples.mean(axis=0)
    np.testing.assert_allclose(audio.load(made.path).samples[0], half, atol=1e-6)


def length_of(path: Path) -> float:
    return audio.load(path).duration_s


@pytest.mark.parametrize("name", ["same.flac", "plain.m4a"])
def test_names_that_are_not_utf_8(recording: Recordings, tmp_path: Path, name: str) -> None:
    made = recording(name)
    path = tmp_path / os.fsdecode(b"caf\xe9" + made.path.suffix.encode())
    try:
        path.write_bytes(made.path.read_bytes())
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    segment = audio.load(path)
    np.testing.assert_array_equal(segment.samples, audio.load(made.path).samples)
    assert segment.track_id.encode().endswith(b"caf\\udce9" + path.suffix.encode())
    (done,) = each(length_of, [path], 1)
    assert done.result == pytest.approx(made.duration_s)
    path.write_bytes(b"no music" * 100)
    with pytest.raises(UnreadableAudioError) as caught:
        audio.load(path)
    assert "caf" in str(caught.value).encode().decode()


def test_any_exception_of_a_decoder_is_one_sentence(recording: Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise IndexError("tuple index out of range")

    monkeypatch.setattr(soundfile.SoundFile, "read", broken)
    path = recording("same.flac").path
    for call in (audio.load, lambda p: list(audio.blocks(p)), lambda p: audio.read_segment(p, 0, 1)):
        refused(UnreadableAudioError, path, lambda call=call: call(path))


# Random access


@pytest.mark.parametrize(
    ("name", "codec", "rate", "options"),
    [
        ("vorbis.webm", "vorbis", 44100, {"strict": "experimental"}),
        ("opus.webm", "libopus", 48000, {"frame_duration": "60"}),
        ("opus.mka", "libopus", 48000, {"frame_duration": "20"}),
        ("e.mka", "eac3", 48000, {}),
        ("a.mka", "ac3", 48000, {}),
        ("f.mka", "flac", 44100, {}),
        ("m.mka", "libmp3lame", 44100, {}),
        ("l.m4a", "alac", 44100, {}),
        ("p.mov", "pcm_s16le", 44100, {}),
    ],
)
def test_positions_agree_in_every_container(
    tmp_path: Path, name: str, codec: str, rate: int, options: dict[str, str]
) -> None:
    av = pytest.importorskip("av")
    if codec not in av.codecs_available:
        pytest.skip(f"FFmpeg has no {codec}")
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.layout = "stereo"
        size = stream.codec_context.frame_size or 4096
        kind = stream.codec_context.codec.audio_formats[0].name
        resampler = av.AudioResampler(format=kind, layout="stereo", rate=rate, frame_size=size)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(music(rate, 2, 8.0).T), "fltp", "stereo")
        frame.sample_rate, frame.pts = rate, 0
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            container.mux(stream.encode(part))
    with open_source(path) as source:
        whole = np.concatenate(list(source.blocks(1 << 20)))
    for start in np.random.default_rng(0).integers(0, 7 * rate, 6):
        with open_source(path) as source:
            np.testing.assert_array_equal(source.read(int(start), 9000), whole[start : start + 9000])
