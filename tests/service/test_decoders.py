"""Decoding in processes with limits: what is decoded is what the package decodes, and bombs are bounded."""

import asyncio
import errno
import os
import time

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, music, singing
from whosings import audio
from whosings.errors import AudioError, TooLongError, UnreadableAudioError
from whosings.files import content_hash
from whosings.service.decoders import Decoders, LongError
from whosings.service.limits import Limits, Places
from whosings.service.listening import Listening, Upload
from whosings.service.problems import Refusal
from whosings.spans import Span


class UnsentError(Exception):
    """Cannot be made again from what it says."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def _wrong():
    raise UnsentError("what was", "wrong")


@pytest.fixture(scope="module")
def decoders():
    found = Decoders(Limits(decoders=1, duration_s=60.0))
    yield found
    found.close()


def test_what_is_decoded_is_what_the_package_decodes(decoders, tmp_path):
    path = tmp_path / "stereo.flac"
    soundfile.write(path, music(44100, 2, 7.3), 44100)
    for channels in (1, 2):
        found = asyncio.run(decoders.decode(path, "my song.flac", tmp_path / f"{channels}.f32", channels))
        whole = audio.load(path, channels)
        assert (found.track_id, found.sha256, found.channels) == ("my song.flac", content_hash(path), channels)
        np.testing.assert_array_equal(found.cut(0.0, found.duration_s).samples, whole.samples)
        part = found.cut(2.5, 1.25)
        np.testing.assert_array_equal(part.samples, whole.cut(2.5, 1.25).samples)
        assert (part.start_s, part.track_id) == (2.5, "my song.flac")
        assert found.cut(7.0, 5.0).duration_s == pytest.approx(whole.duration_s - 7.0)


def test_silence_by_the_hour_is_given_up_early(decoders, tmp_path):
    bomb = tmp_path / "bomb.flac"
    with soundfile.SoundFile(bomb, "w", 8000, 1) as file:
        for _ in range(60):
            file.write(np.zeros(8000 * 60, np.int16))
    assert bomb.stat().st_size < 1_000_000
    into = tmp_path / "bomb.f32"
    with pytest.raises(TooLongError, match=r"bomb\.flac: lasts 60\.0 minutes, more than 1; cut"):
        asyncio.run(decoders.decode(bomb, "bomb.flac", into))
    assert not into.exists()


def test_errors_name_the_upload(decoders, tmp_path):
    path = tmp_path / "abc123"
    path.write_bytes(b"this is no sound at all" * 50)
    with pytest.raises(UnreadableAudioError) as caught:
        asyncio.run(decoders.decode(path, "my song.mp3", tmp_path / "x.f32"))
    assert str(caught.value).startswith("my song.mp3: ")
    assert str(tmp_path) not in str(caught.value)


def test_time_is_limited():
    found = Decoders(Limits(decoders=1, decode_s=0.5))
    try:
        with pytest.raises(AudioError, match=r"a\.flac: takes more than 0\.5 seconds to decode"):
            asyncio.run(found._run("a.flac", time.sleep, (30,)))
        assert found.died == 1
        assert asyncio.run(found._run("b.flac", len, ("abc",))) == 3
    finally:
        found.close()


def test_memory_is_limited(decoders):
    limit = Limits().decode_bytes
    with pytest.raises(AudioError, match="needs more memory than the service allows"):
        asyncio.run(decoders._run("big.flac", bytearray, (limit + 1,)))
    assert asyncio.run(decoders._run("small.flac", len, ("abc",))) == 3


def test_a_process_that_dies_is_replaced_and_the_file_tried_again(decoders, tmp_path):
    before = decoders.died
    with pytest.raises(AudioError, match=r"a\.flac: ends the process that decodes it"):
        asyncio.run(decoders._run("a.flac", os._exit, (3,)))
    assert decoders.died == before + 2
    assert asyncio.run(decoders._run("b.flac", len, ("abc",))) == 3


def test_where_no_process_can_be_had_people_come_again_and_then_are_answered(decoders, monkeypatch):
    def none(*given):
        raise OSError(errno.EAGAIN, "no more processes")

    with monkeypatch.context() as poor:
        poor.setattr("whosings.service.decoders.Process", none)
        with pytest.raises(Refusal, match="cannot decode now") as caught:
            asyncio.run(decoders._run("a.flac", os._exit, (3,)))
        assert (caught.value.status_code, caught.value.headers) == (503, {"Retry-After": "5"})
        with pytest.raises(Refusal):
            asyncio.run(decoders._run("b.flac", len, ("abc",)))
    assert asyncio.run(decoders._run("b.flac", len, ("abc",))) == 3


def test_errors_that_cannot_be_sent_are_told_in_words(decoders):
    with pytest.raises(RuntimeError, match="UnsentError: what was wrong"):
        asyncio.run(decoders._run("a.flac", _wrong, ()))
    assert asyncio.run(decoders._run("b.flac", len, ("abc",))) == 3


def test_processes_are_replaced_after_some_files(tmp_path, monkeypatch):
    monkeypatch.setattr("whosings.service.decoders._MOST_FILES", 3)
    found = Decoders(Limits(decoders=1))
    try:
        pids = [asyncio.run(found._run("a", os.getpid, ())) for _ in range(7)]
        assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]
        assert found.died == 0
    finally:
        found.close()


def test_clips_are_flac_around_the_passage(decoders, tmp_path):
    path = tmp_path / "song.wav"
    soundfile.write(path, singing(12.0), RATE)
    clip = tmp_path / "clip.flac"
    clip.write_bytes(asyncio.run(decoders.clip(path, "song.wav", Span(4.0, 8.0))))
    assert 3.0 <= audio.probe(clip).duration_s <= 6.0


def test_long_files_are_told_before_and_while_they_are_decoded(tmp_path):
    limits = Limits(decoders=1, listeners=1, duration_s=40.0)
    places = Places(tmp_path / "g", tmp_path / "l", tmp_path / "data")
    places.make()
    found = Listening(places, limits, "fast", "cpu")
    honest = tmp_path / "honest.wav"
    soundfile.write(honest, singing(20.0), RATE)
    secret = tmp_path / "secret.ogg"  # its header tells no length
    soundfile.write(secret, singing(20.0), RATE)
    too_long = tmp_path / "long.wav"
    soundfile.write(too_long, np.tile(singing(10.0), 5), RATE)

    async def ask():
        for path in (honest, secret):
            with pytest.raises(LongError):
                await found.hear(Upload(path.name, path), None, 15.0)
            heard = await found.hear(Upload(path.name, path), None, 30.0)
            assert heard.decoded.duration_s == pytest.approx(20.0, abs=0.1)
        with pytest.raises(TooLongError):
            await found.hear(Upload(too_long.name, too_long), None, 15.0)
        assert not any(places.work.iterdir())

    try:
        asyncio.run(ask())
    finally:
        found.close()
