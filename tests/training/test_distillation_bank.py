"""A bank holds what was written, travels as files, and says what is wrong with them."""

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE
from tests.distillation_fixtures import tone, toy_bank, toy_clips
from whosings.errors import SilentAudioError, TrainingError, UnreadableAudioError
from whosings.training.distillation.bank import Clip, export_bank, import_bank, open_bank, to_int16, write_bank


def test_what_is_written_is_what_numpy_reads(tmp_path):
    clips = toy_clips()
    bands = [np.arange(-50, 50, dtype=np.int16), np.full(7, 3, np.int16)]
    assert write_bank(tmp_path, iter(clips), iter(bands)) == 8
    np.testing.assert_array_equal(np.load(tmp_path / "voices.npy"), np.concatenate([clip.samples for clip in clips]))
    np.testing.assert_array_equal(np.load(tmp_path / "bands.npy"), np.concatenate(bands))
    bank = open_bank(tmp_path)
    assert isinstance(bank.voices, np.memmap)
    for number, clip in enumerate(clips):
        found = bank.clip(number)
        assert (found.person, found.kind) == (clip.person, clip.kind)
        np.testing.assert_array_equal(found.samples, clip.samples)


def test_a_speed_in_a_name_makes_another_person_of_the_same_speaker(tmp_path):
    names = ["annx1.0", "annx0.86", "maxx", "bo-12"]
    write_bank(tmp_path, [Clip(name, "speech", np.ones(9, np.int16)) for name in names], [np.ones(9, np.int16)])
    bank = open_bank(tmp_path)
    assert dict(zip(bank.people, bank.speakers, strict=True)) == {
        "annx1.0": "ann", "annx0.86": "ann", "maxx": "maxx", "bo-12": "bo-12",
    }  # fmt: skip
    assert dict(zip(bank.people, bank.speeds, strict=True)) == {"annx1.0": 1, "annx0.86": 0.86, "maxx": 1, "bo-12": 1}


def test_a_bank_travels_as_opus(tmp_path):
    bank = toy_bank(tmp_path / "bank")
    assert export_bank(bank, tmp_path / "files", workers=0) == 9
    assert export_bank(bank, tmp_path / "files", workers=0) == 0
    imported = import_bank(tmp_path / "files", tmp_path / "again", workers=0)
    assert (imported.clips, imported.failures) == (8, ())
    again = open_bank(tmp_path / "again")
    assert again.people == bank.people and again.kinds.tolist() == bank.kinds.tolist()
    np.testing.assert_array_equal(again.lengths, bank.lengths)
    assert again.bands.size == bank.bands.size
    for number in range(8):
        old, new = (held.clip(number).samples.astype(float) for held in (bank, again))
        assert np.corrcoef(old, new)[0, 1] > 0.99


def test_bad_files_are_named_and_the_rest_goes_on_in_any_format(tmp_path):
    for name, folder in (("a", "ann"), ("b", "bob")):
        (tmp_path / "voices" / folder).mkdir(parents=True)
        soundfile.write(tmp_path / "voices" / folder / f"{name}.flac", tone(300, 1.5), RATE)
    soundfile.write(tmp_path / "voices/ann/sung-2.wav", np.stack([tone(500, 1.5)] * 2, axis=1), RATE)
    (tmp_path / "voices/bob/broken.ogg").write_bytes(b"no audio")
    soundfile.write(tmp_path / "voices/bob/silent.wav", np.zeros(RATE), RATE)
    (tmp_path / "bands").mkdir()
    soundfile.write(tmp_path / "bands/1.opus", tone(100, 2.0), 48_000, format="OGG", subtype="OPUS")
    imported = import_bank(tmp_path, tmp_path / "bank", workers=2)
    assert imported.clips == 3
    assert [(type(error), error.subject.rpartition("/")[2]) for error in imported.failures] == [
        (UnreadableAudioError, "broken.ogg"),
        (SilentAudioError, "silent.wav"),
    ]
    bank = open_bank(tmp_path / "bank")
    assert [(bank.clip(n).person, bank.clip(n).kind) for n in range(3)] == [
        ("ann", "speech"), ("ann", "sung"), ("bob", "speech"),
    ]  # fmt: skip
    np.testing.assert_allclose(bank.clip(0).samples, to_int16(tone(300, 1.5)), atol=1)


def test_what_is_no_bank_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(TrainingError, match=r"holds no bank of voices; make one with recipes/voice_bank\.py"):
        open_bank(tmp_path / "nothing")
    once = [Clip(f"annx{speed}", "speech", np.ones(9, np.int16)) for speed in (0.86, 1.0)]
    write_bank(tmp_path / "one", once, [np.ones(9, np.int16)])
    with pytest.raises(TrainingError, match=r"too few people \(1\)"):
        open_bank(tmp_path / "one")
    toy_bank(tmp_path / "cut")
    np.save(tmp_path / "cut/voices.npy", np.zeros(10, np.int16))
    with pytest.raises(TrainingError, match="more or less sound than its table says"):
        open_bank(tmp_path / "cut")
    np.save(tmp_path / "cut/voices.npy", np.zeros(10, np.float32))
    with pytest.raises(TrainingError, match="not of 16-bit samples"):
        open_bank(tmp_path / "cut")
    (tmp_path / "cut/voices.npy").write_bytes(b"no array")
    with pytest.raises(TrainingError, match="damaged"):
        open_bank(tmp_path / "cut")
    with pytest.raises(TrainingError, match="voices/PERSON: holds no recordings"):
        import_bank(tmp_path / "nothing", tmp_path / "made", workers=0)


def test_half_a_bank_is_none(tmp_path):
    toy_bank(tmp_path)

    def broken():
        yield from toy_clips()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bank(tmp_path, broken(), [np.ones(9, np.int16)])
    with pytest.raises(TrainingError, match="holds no bank"):
        open_bank(tmp_path)
