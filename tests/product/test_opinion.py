"""The second opinion: its conventions on built networks, its place in an answer, and what the shipped one hears."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import singing
from whosings.answer_text import opinion_line
from whosings.audio import SAMPLE_RATE, Segment
from whosings.embedding import TrackEmbedder
from whosings.errors import CheckpointError
from whosings.gallery import Gallery
from whosings.identification import Identifier
from whosings.opinion import (
    MOST_SEGMENTS,
    SHIPPED,
    STATED_RATE,
    ArtefactNetwork,
    MeasuredGroup,
    Scale,
    SecondOpinion,
    Spoken,
    save_opinion,
)
from whosings.opinion_rows import CAUTION, Opinion, Sound, opinion_sentence
from whosings.tensor_file import write_tensors

ROOT = Path(__file__).parents[2]
SCALE = Scale(2.0, 0.5, (0.0, 0.5, 1.0), (1.0, 0.2, 0.05), (1.0, 0.8, 0.3))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> SecondOpinion:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("opinion") / "model.safetensors"
    save_opinion(path, ArtefactNetwork((4, 4, 8, 8)), SCALE, {"name": "untrained"})
    return SecondOpinion(path)


def noise(seconds: float, seed: int = 0, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.1, (channels, round(seconds * SAMPLE_RATE))).astype(np.float32)


def test_a_scale_reads_a_logit_and_what_was_measured_at_it() -> None:
    said = SCALE.opinion(0.5, 3)
    assert said == Opinion(0.5, 0.2, 0.8, 3)
    assert said.caution == CAUTION and "no verdict" in CAUTION
    assert SCALE.score(1.5) == pytest.approx(1 / (1 + np.exp(-2)))
    between = SCALE.opinion(0.5 + np.log(3) / 2, 1)  # a score of 0.75
    assert (between.score, between.false_alarm, between.found) == pytest.approx((0.75, 0.2, 0.3))
    assert SCALE.score(1e9) == pytest.approx(1.0) and SCALE.score(-1e9) == pytest.approx(0.0)


def test_an_opinion_is_spoken_only_beyond_the_thresholds() -> None:
    short, long = Spoken(2, 0.9, 0.2), Spoken(4, 0.7, None)
    scale = dataclasses.replace(SCALE, spoken=(short, long))
    natural, nothing, resynthesised = Sound.NATURAL, Sound.NO_OPINION, Sound.RESYNTHESISED
    said = {score: scale.sound(score, 3) for score in (0.0, 0.2, 0.21, 0.89, 0.9, 1.0)}
    assert said == {0.0: natural, 0.2: natural, 0.21: nothing, 0.89: nothing, 0.9: resynthesised, 1.0: resynthesised}
    assert [scale.sound(0.0, n) for n in (1, 2, 4)] == [nothing, natural, nothing]
    assert [scale.sound(0.8, n) for n in (1, 3, 4, 12)] == [nothing, nothing, resynthesised, resynthesised]
    assert scale.opinion(5.0, 3).sound is resynthesised and scale.opinion(-5.0, 3).sound is natural
    assert {SCALE.sound(score, 9) for score in (0.0, 0.5, 1.0)} == {nothing}  # without thresholds nothing is said


def test_a_sentence_for_people_accuses_nobody_and_is_empty_without_an_opinion() -> None:
    sentences = {sound: opinion_sentence(Opinion(0.5, 0.1, 0.5, 3, sound)) for sound in Sound}
    assert sentences[Sound.NO_OPINION] == ""
    for sound in (Sound.RESYNTHESISED, Sound.NATURAL):
        sentence = sentences[sound]
        assert sound.value in sentence and sentence.endswith(".") and sentence.count(".") == 1
        assert not any(word in sentence.lower() for word in ("fake", "fraud", "forg", "deceiv", "stolen", "guilty"))


def test_a_scale_comes_back_from_its_file(tmp_path: Path) -> None:
    groups = (MeasuredGroup("songs", True, 10, 0), MeasuredGroup("speech", False, 40, 2))
    scale = dataclasses.replace(SCALE, spoken=(Spoken(1, 0.9, 0.2, groups), Spoken(4, 0.8, None)))
    save_opinion(tmp_path / "o.safetensors", ArtefactNetwork((4, 4, 8, 8)), scale, {})
    assert SecondOpinion(tmp_path / "o.safetensors").scale == scale


def test_phase_of_a_steady_tone_goes_on_as_its_frequency_says() -> None:
    """1 kHz lies in the middle of bin 32: there, no phase is left over from frame to frame."""
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(SAMPLE_RATE) / SAMPLE_RATE)
    features = ArtefactNetwork((4, 4, 8, 8)).features(tone[None])
    assert features.shape == (1, 5, 256, 100)
    assert features[0, 3, 32, 5:-5].min() > 0.999 and features[0, 4, 32, 5:-5].abs().max() < 0.02


def test_group_delay_of_a_pulse_in_the_middle_of_a_frame_is_nothing() -> None:
    wave = torch.zeros(SAMPLE_RATE)
    wave[8000] = 1.0  # the middle of frame 50
    features = ArtefactNetwork((4, 4, 8, 8)).features(wave[None])
    assert features[0, 1, 5:250, 49].min() > 0.95  # the first frame is left out


def test_level_and_offset_change_nothing(untrained: SecondOpinion) -> None:
    voice = singing(3)[None]
    expected = untrained.logits([voice])
    for changed in (voice * np.float32(0.01), voice * np.float32(5), voice + np.float32(0.05)):
        assert untrained.logits([changed]) == pytest.approx(expected, abs=2e-3)


def test_the_same_twice(untrained: SecondOpinion) -> None:
    segments = [noise(3, seed) for seed in range(4)]
    assert untrained(segments) == untrained(segments)


@pytest.mark.parametrize("segments", [[], [noise(0.9)], [np.zeros((1, 48000), np.float32)]])
def test_no_opinion_without_enough_voice(untrained: SecondOpinion, segments: list[np.ndarray]) -> None:
    assert untrained(segments) is None


def test_one_second_and_two_channels_will_do(untrained: SecondOpinion) -> None:
    said = untrained([noise(1.0, channels=2)])
    assert said is not None and said.segments == 1 and 0 <= said.score <= 1


def test_a_long_track_is_sampled_from_end_to_end(untrained: SecondOpinion) -> None:
    segments = [noise(1, seed) for seed in range(40)]
    found = untrained.logits(segments)
    assert found.shape == (MOST_SEGMENTS,)
    assert found[0] == pytest.approx(untrained.logits(segments[:1])[0], abs=1e-5)
    assert found[-1] == pytest.approx(untrained.logits(segments[-1:])[0], abs=1e-5)


@pytest.mark.parametrize("kind", ["missing", "text", "another model", "another format", "cut short"])
def test_a_file_that_is_no_opinion(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    shipped = (ROOT / "whosings" / SHIPPED).read_bytes()
    content = {
        "text": b"no weights",
        "another model": (ROOT / "whosings/weights/activity/model.safetensors").read_bytes(),
        "cut short": shipped[: len(shipped) // 2],
    }
    if kind == "another format":
        monkeypatch.setattr("whosings.opinion.FORMAT", "whosings-opinion-0")
        save_opinion(path, ArtefactNetwork((4, 4, 8, 8)), Scale(), {})
        monkeypatch.undo()
    if kind in content:
        path.write_bytes(content[kind])
    with pytest.raises(CheckpointError, match=r"is not a second opinion|has format"):
        SecondOpinion(path)([noise(2)])


def test_weights_are_read_once_and_only_when_needed(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    listener = SecondOpinion(path)  # nothing is there yet
    assert listener([]) is None
    save_opinion(path, ArtefactNetwork((4, 4, 8, 8)), SCALE, {"name": "late"})
    first = listener([noise(2)])
    path.unlink()
    assert listener([noise(2)]) == first and listener.card == {"name": "late"}


def test_an_answer_carries_it_and_nothing_else_changes(tiny, untrained, small_choir, tmp_path) -> None:
    listening = TrackEmbedder(tiny.folder, second_opinion=untrained)
    with Gallery(tmp_path / "g", tiny.embedder.checkpoint.fingerprint) as gallery:
        for track in small_choir.tracks[:4]:
            gallery.add(track.singer_id, tiny.embedder(track.path), track.track_id)
        path = small_choir.tracks[5].path
        plain, heard = Identifier(gallery, tiny.embedder)(path), Identifier(gallery, listening)(path)
        assert plain.opinion is None and heard.opinion is not None
        assert dataclasses.replace(heard, opinion=None) == plain
        hiss = Segment(noise(8) * np.float32(0.05), 0.0, "hiss")
        nobody = Identifier(gallery, listening).answer(listening(hiss))
        assert nobody.verdict == "not enough vocals" and nobody.opinion is None


def test_it_hears_the_segments_that_are_embedded_and_nothing_is_decoded_twice(tiny, monkeypatch) -> None:
    heard: list[list[np.ndarray]] = []
    monkeypatch.setattr(SecondOpinion, "__call__", lambda _, segments: heard.append(list(segments)))
    track = Segment(np.float32(0.3) * singing(8)[None], 0.0, "track")
    found = TrackEmbedder(tiny.folder, second_opinion=SecondOpinion())(track)
    assert len(heard) == 1 and len(heard[0]) == len(found.start_s)
    for start_s, samples in zip(found.start_s, heard[0], strict=True):
        assert np.array_equal(samples, track.cut(float(start_s), found.segment_s).samples)


def test_the_line_says_that_it_is_no_verdict_and_how_often_it_errs() -> None:
    line = opinion_line(Opinion(0.75, 0.12, 0.55, 3))
    assert "no verdict" in line and "0.75" in line and "12%" in line and "55%" in line


def test_identify_prints_it_and_json_carries_it(run, tiny, small_choir, tmp_path) -> None:
    gallery, probe = tmp_path / "g", small_choir.tracks[1].path
    run("enrol", "Ann", small_choir.tracks[0].path, "-g", gallery, "--encoder", tiny.folder)
    code, out, _ = run("identify", probe, "-g", gallery, "--encoder", tiny.folder, "--verbose")
    assert code == 0 and out.count("second opinion, no verdict: score") == 1
    code, out, _ = run("identify", probe, "-g", gallery, "--encoder", tiny.folder, "--json")
    (answer,) = json.loads(out)
    assert set(answer["opinion"]) == {"score", "false_alarm", "found", "segments", "sound", "caution"}
    assert answer["opinion"]["sound"] in {sound.value for sound in Sound}
    assert all(0 <= answer["opinion"][key] <= 1 for key in ("score", "false_alarm", "found"))


def test_importing_the_package_does_not_load_it() -> None:
    code = "import sys, whosings, whosings.cli; sys.exit('whosings.opinion' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_shipped_network_is_small_and_says_what_it_was_made_of() -> None:
    assert (ROOT / "whosings" / SHIPPED).stat().st_size < 500_000
    shipped = SecondOpinion()
    assert "LibriSpeech" in str(shipped.card["data"]) and shipped.card["licence"] == "Apache-2.0"
    assert sum(weights.numel() for weights in ArtefactNetwork().parameters()) <= 200_000


def test_measured_shares_fall_with_the_score_and_no_alarm_is_called_impossible() -> None:
    scale = SecondOpinion().scale
    for shares in (scale.false_alarm, scale.found):
        assert np.all(np.diff(shares) <= 0) and shares[0] == 1
    assert min(scale.false_alarm) > 0


def test_the_shipped_thresholds_hold_the_stated_rate_in_every_group_they_name() -> None:
    spoken = SecondOpinion().scale.spoken
    assert spoken[0].segments == 1 and spoken[-1].resynthesised_from is not None
    assert {group.name for one in spoken for group in one.groups} >= {"speech", "singing, produced", "songs"}
    assert all(group.wrong <= STATED_RATE * group.recordings for one in spoken for group in one.groups)


@pytest.mark.parametrize(
    "change",
    [
        {"channels": []},
        {"channels": [4, 4, 8]},
        {"scale": {**dataclasses.asdict(SCALE), "thresholds": []}},
        {"scale": {**dataclasses.asdict(SCALE), "found": [1.0]}},
        {"scale": {**dataclasses.asdict(SCALE), "middle": None}},
        {
            "scale": {
                **dataclasses.asdict(SCALE),
                "spoken": [dataclasses.asdict(Spoken(1, 0.9, 0.1)) | {"natural_to": 1.0}],
            }
        },
        {"scale": {**dataclasses.asdict(SCALE), "spoken": [dataclasses.asdict(Spoken(2, 0.9, 0.1))] * 2}},
        {"scale": {**dataclasses.asdict(SCALE), "spoken": [{"segments": 1}]}},
        {"scale": {**dataclasses.asdict(SCALE), "thresholds": [0.5, 0.0, 1.0]}},
    ],
)
def test_a_damaged_header_is_told(tmp_path, change) -> None:
    network = ArtefactNetwork((4, 4, 8, 8))
    header = {"format": "whosings-opinion-1", "channels": [4, 4, 8, 8], "scale": dataclasses.asdict(SCALE), "card": {}}
    write_tensors(tmp_path / "o.safetensors", {**header, **change}, network.state_dict())
    with pytest.raises(CheckpointError, match="is not a second opinion's network"):
        _ = SecondOpinion(tmp_path / "o.safetensors").scale
