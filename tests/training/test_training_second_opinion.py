"""Training of the second opinion: banks, ways of processing, pairs with one production, the scale, runs that go on."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.conftest import RATE, singing
from whosings.errors import TooShortError, TrainingError
from whosings.opinion import ArtefactNetwork, Scale, SecondOpinion, save_opinion
from whosings.opinion_rows import Sound
from whosings.training.distillation.bank import to_int16
from whosings.training.opinion_bank import AGAIN, BAND, NATURAL, Bank, Clip, Kind, Take, coded, processed
from whosings.training.opinion_rates import (
    LONG,
    Heard,
    by_group,
    fit_scale,
    heard,
    left_out,
    of_bank,
    of_files,
    thresholds,
)
from whosings.training.opinion_views import VIEW, Pairs, Views, at_speed, crop, limited, make_views, studio
from whosings.training.second_opinion import Materials, export, read_heard, train


@pytest.fixture(scope="module")
def bank() -> Bank:
    clips = [Clip(kind, who, to_int16(singing(3, ord(who)))) for who in "ab" for kind in (NATURAL, "x", "y")]
    hiss = np.random.default_rng(0).standard_normal(3 * RATE)
    return Bank([*clips, Clip(NATURAL, "c", to_int16(singing(3, 9))), Clip(BAND, "", to_int16(hiss))])


def test_a_bank_is_loaded_as_it_was_saved(bank: Bank, tmp_path: Path) -> None:
    bank.save(tmp_path / "bank.npz")
    loaded = Bank.load(tmp_path / "bank.npz")
    assert [(c.kind, c.speaker) for c in loaded.clips] == [(c.kind, c.speaker) for c in bank.clips]
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(loaded.clips, bank.clips, strict=True))
    assert len(loaded.of_kind("x")) == 2


@pytest.mark.parametrize("content", [None, b"no zip", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_bank(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "train.npz").write_bytes(content)
    with pytest.raises(TrainingError, match="is no bank of processed voices"):
        Bank.load(tmp_path / "train.npz")


def test_what_is_processed_is_as_loud_as_before_and_no_longer() -> None:
    voice = singing(2)
    made = processed(
        Kind(1, lambda take, rng: np.tile(take.samples, 2) * 7), Take(voice, voice), np.random.default_rng(0)
    )
    assert made.size == voice.size and made.std() == pytest.approx(voice.std(), rel=0.05)
    assert np.corrcoef(made, coded(voice))[0, 1] > 0.99


@pytest.mark.parametrize("made", [np.zeros(0), np.zeros(100), np.full(100, np.nan)])
def test_nothing_is_made_of_too_little(made: np.ndarray) -> None:
    with pytest.raises(TooShortError):
        processed(Kind(1, lambda take, rng: made), Take(singing(1), singing(1)), np.random.default_rng(0))


def test_every_kind_of_processing_keeps_the_length_about() -> None:
    pytest.importorskip("pyworld")
    pytest.importorskip("mido")
    from whosings.choir.resynthesis import KINDS

    assert sum(kind.share for kind in KINDS.values()) == pytest.approx(1)
    take = Take(singing(3, 1), singing(4, 2))
    for name, kind in KINDS.items():
        made = kind.process(take, np.random.default_rng(3))
        assert made.dtype == np.float32 and np.isfinite(made).all() and made.std() > 1e-3, name
        assert 0.7 < made.size / take.samples.size < 1.5 or name in ("WORLD, sung", "conversion, of singing"), name
        assert not np.array_equal(made[: take.samples.size], take.samples), name


def test_a_crop_avoids_silence_and_repeats_what_is_short() -> None:
    clip = np.concatenate([np.zeros(20 * RATE, np.int16), to_int16(singing(20))])
    rng = np.random.default_rng(0)
    assert np.mean([crop(clip, VIEW, rng).std() > 0.01 for _ in range(40)]) > 0.9
    short = np.arange(5, dtype=np.int16)
    assert np.array_equal(crop(short, 10, rng) * 32768, [0, 1, 2, 3, 4] * 2)


def test_production_follows_from_the_seed_alone() -> None:
    voice, band = singing(2, 1), singing(2, 2)
    again = studio(voice, band, 5)
    assert again.shape == (VIEW,) and np.array_equal(again, studio(voice, band, 5))
    assert not np.array_equal(again, studio(voice, band, 6))
    assert not np.array_equal(again, studio(voice, None, 5))


def test_effects_fall_on_both_views_alike() -> None:
    """What is natural and what is processed differ after production only where they differed before."""
    voice, band = singing(2, 1), singing(2, 2)
    for seed in range(6):
        assert np.array_equal(studio(voice, band, seed), studio(voice.copy(), band, seed))


def test_a_limiter_holds_peaks_and_leaves_what_is_below() -> None:
    wave = torch.from_numpy(singing(1))[None, None] * 4
    held = limited(wave)
    assert wave.abs().max() > 1.5 and held.abs().max() <= 1 + 1e-5
    assert torch.equal(limited(wave * 0.1), wave * 0.1)


def test_a_faster_tape_raises_the_pitch() -> None:
    tone = to_int16(np.sin(2 * np.pi * 200 * np.arange(4 * RATE) / RATE).astype(np.float32))
    for semitones, hertz in ((0.0, 200.0), (4.0, 252.0), (-4.0, 158.7)):
        view = at_speed(tone, semitones, np.random.default_rng(0))
        assert view.shape == (VIEW,)
        assert np.argmax(np.abs(np.fft.rfft(view))) / 2 == pytest.approx(hertz, abs=0.6)


def test_pairs_are_of_one_speaker_with_one_production(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bytes, int]] = []

    def note(voice: np.ndarray, band: np.ndarray | None, seed: int, alone: object) -> np.ndarray:
        seen.append((b"" if band is None else band.tobytes(), seed))
        return voice

    monkeypatch.setattr("whosings.training.opinion_views.studio", note)
    pairs = Pairs(bank, 1, left_out=("y",))
    found = [pairs.pair(number) for number in range(4)]
    assert all(view.shape == (VIEW,) for pair in found for view in pair)
    assert seen[::2] == seen[1::2] and len({seed for _, seed in seen}) == 4
    assert all(np.array_equal(a, b) for a, b in zip(found[3], pairs.pair(3), strict=True))


def test_kinds_that_are_left_out_do_not_train(bank: Bank) -> None:
    only = Bank([clip for clip in bank.clips if clip.kind != "x" or clip.speaker == "a"])
    pairs = Pairs(only, 1, left_out=("y",))
    assert [{clip.speaker for clip in (*natural, *made)} for natural, made in pairs._people] == [{"a"}]


def test_views_go_on_where_they_stopped_and_more_can_be_asked_for(bank: Bank, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no views"):
        Views.load(tmp_path)
    said: list[str] = []
    make_views(tmp_path, Pairs(bank, 1), 2, said.append)
    first = np.array(Views.load(tmp_path).waves)
    make_views(tmp_path, Pairs(bank, 1), 2, said.append)
    assert said == ["2 of 2 pairs"]
    make_views(tmp_path, Pairs(bank, 1), 3, said.append)
    views = Views.load(tmp_path)
    assert views.waves.shape == (6, VIEW) and np.array_equal(views.waves[:4], first)
    batches = [views.batch(number, 2) for number in range(3)]
    assert all(batch.truth.tolist() == [0, 1] for batch in batches)
    seen = {np.round(batch.waves.numpy() * 32768).astype(np.int16).tobytes() for batch in batches}
    assert seen == {views.waves[2 * n : 2 * n + 2].tobytes() for n in range(3)}  # each pair once in a round


def test_everything_but_bands_is_heard(bank: Bank) -> None:
    again = Bank([*bank.clips, Clip(AGAIN, "a", bank.clips[0].samples)])
    rows = heard(lambda segments: float(segments[0].shape[-1]), of_bank("speech", again))
    found = [(row.group, row.kind, row.logit) for row in rows]
    for group, length in (("speech", 3 * RATE), ("speech, produced", VIEW)):
        for kind, count in ((NATURAL, 3), ("x", 2), ("y", 2)):
            assert found.count((group, kind, length)) == count
    assert len(rows) == 14 and {row.segments for row in rows} == {1}


def test_long_productions_are_of_one_voice(bank: Bank) -> None:
    """Of 9 seconds there are four views, and of a natural voice two productions."""
    long = [Clip(kind, "d", to_int16(singing(9, 5))) for kind in (NATURAL, "x")]
    made = [one for one in of_bank("speech", Bank([*bank.clips, *long])) if len(one.segments) > 1]
    assert [(one.group, one.kind, one.who) for one in made] == [
        ("speech, produced", kind, "d") for kind in (NATURAL,) * 2 + ("x",)
    ]
    assert all([view.shape for view in one.segments] == [(1, VIEW)] * LONG for one in made)


def test_a_track_is_heard_by_the_segments_that_are_embedded(tmp_path: Path) -> None:
    for name, sound in (("song", singing(12)), ("hiss", np.random.default_rng(0).normal(0, 0.01, 8 * RATE))):
        soundfile.write(tmp_path / f"{name}.flac", sound, RATE)
    (found,) = of_files("songs", NATURAL, sorted(tmp_path.iterdir()))  # in the hiss nobody sings
    assert (found.who, found.kind) == ("song", NATURAL)
    assert [segment.shape for segment in found.segments] == [(1, 6 * RATE)] * 3


def rows_of(group: str, kind: str, logits: np.ndarray) -> list[Heard]:
    return [Heard(group, kind, f"{group} {number}", float(logit)) for number, logit in enumerate(logits)]


def test_thresholds_hold_the_stated_rate_in_the_worst_group() -> None:
    natural, songs, made = np.arange(100) / 100, np.arange(10) / 10 + 1, np.arange(40) / 20 + 0.5
    rows = rows_of("speech", NATURAL, natural) + rows_of("songs", NATURAL, songs) + rows_of("speech", "x", made)
    found = thresholds(rows)
    assert np.sum(songs >= found.resynthesised) == 0 and found.resynthesised == pytest.approx(1.9, abs=0.02)
    assert np.sum(made <= found.natural) == 2  # 5 % of 40
    assert thresholds(rows[:100]).natural == -np.inf
    speech = thresholds(rows_of("speech", NATURAL, natural))
    assert np.sum(natural >= speech.resynthesised) == 5


def test_a_song_that_stands_out_is_called_resynthesised_once_it_chooses_no_threshold() -> None:
    rows = rows_of("songs", NATURAL, np.array([0.0, 1, 2, 9])) + rows_of("songs", "x", np.array([5.0]))
    assert np.sum(by_group(rows, True)["songs"] >= thresholds(rows).resynthesised) == 0
    assert left_out(rows, "songs") == 1


def test_the_scale_counts_the_worst_group_and_no_alarm_is_impossible() -> None:
    rng = np.random.default_rng(0)
    natural = {"speech": rng.normal(-2, 1, 400), "songs": rng.normal(2, 1, 9)}
    rows = [row for group, logits in natural.items() for row in rows_of(group, NATURAL, logits)]
    scale = fit_scale([*rows, *rows_of("speech", "x", rng.normal(2, 1, 200))])
    assert scale.slope == pytest.approx(4, rel=0.2) and scale.middle == pytest.approx(0, abs=0.2)
    assert scale.thresholds[0] == 0 and scale.thresholds[-1] == 1 and len(scale.thresholds) == 51
    half = scale.thresholds.index(0.5)
    heard = [float(np.sum(values >= scale.middle) + 1) / (values.size + 1) for values in natural.values()]
    assert scale.false_alarm[half] == pytest.approx(max(heard), abs=1e-4) and min(scale.false_alarm) > 0
    (short,) = scale.spoken
    assert short.segments == 1
    assert [(g.name, g.natural, g.recordings, g.wrong) for g in short.groups] == [
        ("speech", True, 400, 0), ("songs", True, 9, 0), ("speech", False, 200, 10),
    ]  # fmt: skip
    said = [scale.opinion(float(logit), 1).sound for logit in natural["songs"]]
    assert Sound.RESYNTHESISED not in said and scale.sound(0.0, 1) is Sound.NATURAL


def test_long_recordings_have_thresholds_of_their_own() -> None:
    rng = np.random.default_rng(0)
    short = [(NATURAL, rng.normal(-1, 2, 200), 1), ("x", rng.normal(1, 2, 200), 1)]
    long = [(NATURAL, rng.normal(-1, 0.3, 100), LONG), ("x", rng.normal(1, 0.3, 100), 12)]
    rows = [
        dataclasses.replace(row, segments=segments)
        for kind, logits, segments in (*short, *long)
        for row in rows_of("speech", kind, logits)
    ]
    few, many = fit_scale(rows).spoken
    assert (few.segments, many.segments) == (1, LONG)
    assert few.resynthesised_from is not None and many.resynthesised_from is not None
    assert many.resynthesised_from < few.resynthesised_from
    assert sum(group.recordings for group in many.groups) == 200


def test_a_run_that_is_done_stays_and_leaves_other_draws_alone(bank: Bank, tmp_path: Path) -> None:
    make_views(tmp_path, Pairs(bank, 1), 2, lambda _: None)
    said: list[str] = []
    before = torch.random.get_rng_state()
    train(tmp_path, 2, 2, 1e-3, tell=said.append)
    train(tmp_path, 2, 2, 1e-3, tell=said.append)
    assert len(said) == 1 and said[0].startswith("2 loss ")
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_run_can_begin_with_another_network(bank: Bank, tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_opinion(tmp_path / "first.safetensors", ArtefactNetwork(), Scale(), {})
    make_views(tmp_path, Pairs(bank, 1), 1, lambda _: None)
    train(tmp_path, 1, 2, 0.0, begin=tmp_path / "first.safetensors", tell=lambda _: None)
    bank.save(tmp_path / "held.npz")
    card = export(tmp_path, tmp_path / "made.safetensors", Materials(), {"name": "made"})
    made, first = (SecondOpinion(tmp_path / f"{name}.safetensors").network for name in ("made", "first"))
    assert card == {"name": "made", "steps": 1}
    for name, weights in first.named_parameters():
        assert torch.equal(weights, made.get_parameter(name)), name
    assert len(read_heard(tmp_path)) == 14


def test_a_run_without_network_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no network; train one first"):
        export(tmp_path, tmp_path / "made.safetensors", Materials(), {})
    with pytest.raises(TrainingError, match="holds no measurement"):
        read_heard(tmp_path)
