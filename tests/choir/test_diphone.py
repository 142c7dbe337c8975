"""Diphone voices: databases read, words spoken flat and sung on the melody, failures named. With a program that stands
in for mbrola, so that it runs everywhere, and with the real one where it is installed."""

import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from whosings.choir.diphone import DiphoneVoice, find_voices, language_of, open_voice
from whosings.choir.expression import Manner, sing_line
from whosings.choir.score import LANGUAGES, PHONES, Form, Note, Score, compose
from whosings.errors import MissingFileError, UnreadableAudioError, WhosingsError
from whosings.sound.vocoder import FRAME_RATE, SILENT, sound

pyworld = pytest.importorskip("pyworld")

STEADY = Manner(glide_s=0.01, scoop_cents=0.0, vibrato_cents=0.0, drift_cents=0.0, jitter_cents=0.0)
SOUNDS = [*PHONES, "_"]
# Speaks a .pho file as a buzz for every sound; the voice's name says how it fails.
STAND_IN = f"""#!{sys.executable}
import sys, wave
import numpy as np
assert sys.argv[1] == "-e"
voice, text, out = sys.argv[2:]
if "broken" in voice:
    sys.stderr.write("PANIC, check your pitch :-)\\n"); sys.exit(234)
lines = [line.split() for line in open(text, encoding="latin-1").read().splitlines()]
parts = []
for name, milliseconds, *pitch in lines:
    time = np.arange(int(milliseconds) * 16) / 16000
    hertz = float(pitch[1]) if pitch else 100.0
    loud = 0 if name == "_" else 0.05
    parts.append(loud * sum(np.cos(2 * np.pi * k * hertz * time) for k in range(1, 30)))
samples = np.concatenate(parts)
if "short" in voice:
    samples = samples[: samples.size // 2]
with wave.open(out, "wb") as file:
    file.setnchannels(1); file.setsampwidth(2); file.setframerate(16000)
    file.writeframes((samples / 2 * 32767).astype("<i2").tobytes())
"""


def write_voice(folder: Path, name: str, pairs: list[tuple[str, str]], rate: int = 16000, period: int = 160) -> Path:
    """A database as far as it is read: the header and the diphones' names."""
    head = b"MBROLA" + b"2.069" + len(pairs).to_bytes(2, "little") + bytes(2) + bytes(8)
    head += rate.to_bytes(2, "little") + bytes([period, 1])
    table = b"".join(f"{left}\0{right}\0".encode("latin-1") + bytes(4) for left, right in pairs)
    path = folder / name / name
    path.parent.mkdir(parents=True)
    path.write_bytes(head + table + bytes(100))
    return path


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of voices, and a program mbrola on the path."""
    program = tmp_path / "bin" / "mbrola"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent))
    everything = [(left, right) for left in SOUNDS for right in SOUNDS]
    for name in ("xx1", "broken", "short", "nl1"):
        write_voice(tmp_path / "voices", name, everything)
    return tmp_path / "voices"


def opened(path: Path, tract: float = 1.0) -> DiphoneVoice:
    return open_voice(path, np.random.default_rng(0), tract)


def off_cents(voice: DiphoneVoice, score: Score) -> np.ndarray:
    """How far the sound is off the melody, in cents, where both have a pitch and it stands."""
    line = sing_line(score, STEADY, np.random.default_rng(2))
    frames = voice.perform(score, STEADY, np.random.default_rng(2))
    assert len(frames) == line.f0.size == round(score.duration_s * FRAME_RATE)
    heard, _ = pyworld.harvest(sound(frames, np.random.default_rng(3)).astype(np.float64), 16000, frame_period=10.0)
    heard = heard[: len(frames)]
    both = frames.voiced & (heard > 0)
    inside = both & np.roll(both, 6) & np.roll(both, -6) & (np.roll(line.note, 6) == np.roll(line.note, -6))
    assert inside.sum() > 0.3 * len(frames)
    return np.abs(1200 * np.log2(heard[inside] / line.f0[inside]))


def test_installed_voices_are_found_without_those_that_fail(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_voice(stand_in, "xx2", [("a", "_")])  # has one sound
    assert [path.name for path in find_voices(stand_in)] == ["broken", "short", "xx1"]
    assert find_voices(stand_in / "gone") == ()
    monkeypatch.setenv("PATH", "")
    assert find_voices(stand_in) == ()


def test_a_database_says_its_sounds_and_its_pitch(stand_in: Path) -> None:
    voice = opened(stand_in / "xx1" / "xx1")
    assert len(voice.diphones) == len(SOUNDS) ** 2 and voice.hertz == 100.0
    assert voice.names == {phone: phone for phone in PHONES} and voice.substitutions == ()
    assert opened(stand_in / "xx1" / "xx1", 2.0).centre == pytest.approx(voice.centre - 12)


def test_sounds_that_a_voice_has_not_are_replaced_and_named(stand_in: Path) -> None:
    names = [*(set(SOUNDS) - {"y", "S", "@"}), "2", "V"]
    path = write_voice(stand_in, "few", [(left, right) for left in names for right in names])
    voice = opened(path)
    assert (voice.names["y"], voice.names["S"], voice.names["@"]) == ("2", "s", "V")
    assert voice.substitutions == ("y", "@", "S")


def test_a_song_is_spoken_flat_and_sung_on_the_melody(stand_in: Path) -> None:
    voice = opened(stand_in / "xx1" / "xx1")
    score = compose(np.random.default_rng(1), 8.0, voice.centre, 90.0)
    assert np.percentile(off_cents(voice, score), 99) < 50


def test_labels_say_what_is_sung(stand_in: Path) -> None:
    voice = opened(stand_in / "xx1" / "xx1")
    notes = (Note(0.0, 1.0, 50.0, "a", "s", "n"), Note(1.5, 0.5, 50.0, "i", "m"))
    frames = voice.perform(Score(notes, ((60, 64, 67),), 0.6), STEADY, np.random.default_rng(2))
    heard = [PHONES[label] if label != SILENT else "" for label in frames.labels]
    order = [now for before, now in zip(["", *heard], heard, strict=False) if now != before and now]
    assert order == ["s", "a", "n", "m", "i"]
    hiss, vowel = heard.index("s"), heard.index("a")
    assert not frames.voiced[hiss:vowel].any() and frames.voiced[vowel : vowel + 80].all()
    assert vowel - hiss == pytest.approx(9, abs=1)  # consonants keep their 90 ms
    assert not frames.envelope[frames.labels == SILENT].any()
    held = frames.envelope[vowel + 20 : vowel + 60].mean()
    assert 10 * np.log10(held) == pytest.approx(0.0, abs=4)


def test_where_two_sounds_cannot_be_joined_there_is_a_breath(stand_in: Path) -> None:
    pairs = [(left, right) for left in SOUNDS for right in SOUNDS if (left, right) != ("a", "m")]
    voice = opened(write_voice(stand_in, "gap", pairs))
    notes = (Note(0.0, 0.5, 50.0, "a", "s"), Note(0.5, 0.5, 50.0, "i", "m"))
    frames = voice.perform(Score(notes, ((60, 64, 67),), 0.3), STEADY, np.random.default_rng(2))
    assert len(frames) == 120 and np.isfinite(frames.envelope).all()


def test_the_seed_decides_and_nothing_else(stand_in: Path) -> None:
    voice = opened(stand_in / "xx1" / "xx1")
    score = compose(np.random.default_rng(1), 3.0, voice.centre, 90.0)
    first, again = (voice.perform(score, voice.manner, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first.envelope, again.envelope) and np.array_equal(first.f0, again.f0)
    assert not voice.perform(Score((), ((60, 64, 67),), 0.5), STEADY, np.random.default_rng(0)).envelope.any()


def test_another_tract_moves_the_formants(stand_in: Path) -> None:
    score = compose(np.random.default_rng(1), 3.0, 45.0, 90.0)

    def slope(tract: float) -> float:
        frames = opened(stand_in / "xx1" / "xx1", tract).perform(score, STEADY, np.random.default_rng(2))
        power = frames.envelope[frames.voiced].mean(axis=0)
        return float(power @ np.arange(power.size) / power.sum())

    assert slope(0.84) > 1.1 * slope(1.19)


@pytest.mark.parametrize("name", ["broken", "short"])
def test_a_voice_that_fails_is_named(stand_in: Path, name: str) -> None:
    voice = opened(stand_in / name / name)
    reason = "PANIC" if name == "broken" else "exit status 0"
    with pytest.raises(WhosingsError, match=rf"{name}: mbrola cannot sing with it \({reason}"):
        voice.perform(compose(np.random.default_rng(1), 3.0, 45.0, 90.0), STEADY, np.random.default_rng(2))


def test_without_the_program_nobody_sings(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = opened(stand_in / "xx1" / "xx1")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(WhosingsError, match="mbrola: is not installed"):
        voice.perform(compose(np.random.default_rng(1), 3.0, 45.0, 90.0), STEADY, np.random.default_rng(2))


def test_what_is_no_voice_is_refused(stand_in: Path) -> None:
    with pytest.raises(MissingFileError):
        opened(stand_in / "gone")
    (stand_in / "text").write_text("no voice")
    with pytest.raises(UnreadableAudioError, match="is no MBROLA voice"):
        opened(stand_in / "text")
    with pytest.raises(UnreadableAudioError, match="has no sound for e, i, o, u"):
        opened(write_voice(stand_in, "mute", [("a", "a"), ("_", "a"), ("a", "_")]))
    whole = (stand_in / "xx1" / "xx1").read_bytes()
    (stand_in / "cut").write_bytes(whole[:40])
    with pytest.raises(UnreadableAudioError, match="has no sound for"):
        opened(stand_in / "cut")


@pytest.mark.slow
@pytest.mark.skipif(not find_voices(), reason="needs mbrola and its voices")
@pytest.mark.parametrize("path", find_voices()[:8], ids=lambda path: path.name)
def test_real_voices_sing_every_language(path: Path) -> None:
    voice = opened(path)
    for number, language in enumerate(LANGUAGES):
        score = compose(
            np.random.default_rng(number), 6.0, 55.0, 100.0, Form(language=language)
        )  # where WORLD hears well
        assert np.percentile(off_cents(voice, score), 97) < 50


@pytest.mark.parametrize("name", ["us2 en", "en1 en", "de7 de", "mx1 es", "jp3 ja"])
def test_a_voice_has_the_sounds_of_its_language(name):
    voice, language = name.split()
    assert language_of(Path(f"/usr/share/mbrola/{voice}/{voice}")) == language
