"""The queue, decisions on it, what they say of thresholds, and their export."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from tests.library.made import Maker
from whosings.answer import Outcome, Terms
from whosings.calibration import evidence
from whosings.errors import ConfigError
from whosings.gallery import Gallery
from whosings.gallery_rates import measure_rates
from whosings.library.decision_rows import Deed, VoiceKey
from whosings.library.review import Reviewer, as_csv, as_json, decide, export_decisions
from whosings.ranking import ReadyVoices

MAKER = Maker()
TERMS = Terms(0.01, "on made voices", 4.0, 0.0)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """Twelve singers; the second has a twin."""
    with Gallery(tmp_path_factory.mktemp("g") / "g", MAKER.fingerprint, "default") as opened:
        for singer in range(12):
            for take in range(3):
                opened.add(f"singer {singer:02}", MAKER.embeddings(10 * singer, take), f"{singer}-{take}")
        for take in range(3):
            opened.add("twin", MAKER.embeddings(10, 100 + take), f"twin-{take}")
        yield opened


@pytest.fixture
def library(tmp_path):
    """Songs of three singers; of the twins; of voices half way from a singer to a stranger; of strangers."""
    with MAKER.library(tmp_path / "l") as opened:
        for take in range(50, 53):
            for singer in (0, 1, 5):
                MAKER.add(opened, f"own-{singer}-{take}", [10 * singer], take)
        for number, share in enumerate((0.62, 0.66, 0.7, 0.74, 0.78, 0.82)):
            MAKER.add(opened, f"half-{number}", [30 + share], 60 + number)
        for singer in range(300, 330):
            MAKER.add(opened, f"stranger-{singer}", [singer])
        MAKER.add(opened, "duet", [0, 400], 70)
        yield opened


@pytest.fixture
def reviewer(library, gallery):
    return Reviewer(library, gallery.voices, TERMS, MAKER.calibration)


def reached(gallery, singer, take):
    """Log-odds of all singers, by the identifier's own arithmetic."""
    ready = ReadyVoices.of(gallery.voices, MAKER.calibration)
    return evidence(ready.compare(MAKER.mean(singer, take)[None], np.array([9.0])).llr)[0]


def test_the_queue_holds_who_is_nearly_named_and_near_runners_up(reviewer, gallery):
    found = reviewer.queue()
    half = [item for item in found if "half" in item.path]
    close = [item for item in found if item not in half]
    assert 2 <= len(half) <= 6 and all(item.said.singer == "singer 03" for item in half)
    assert all(TERMS.look_nats <= item.said.nats < TERMS.named_nats for item in half)
    assert [item.said.nats for item in half] == sorted((item.said.nats for item in half), reverse=True)
    assert {item.path for item in close} == {f"/songs/own-1-{take}" for take in range(50, 53)}
    assert found[: len(half)] == tuple(half)
    for item in close:
        assert item.said.outcome is Outcome.NAMED and item.said.close
        assert {item.said.singer, item.said.runner_up} == {"singer 01", "twin"} and "nearly as likely" in item.why
    item = half[0]
    number = int(item.path[-1])
    odds = reached(gallery, 30 + (0.62, 0.66, 0.7, 0.74, 0.78, 0.82)[number], 60 + number)
    assert item.said.nats == pytest.approx(np.sort(odds)[-1], abs=1e-3)
    assert item.said.runner_up_nats == pytest.approx(np.sort(odds)[-2], abs=1e-3)


def test_a_decision_takes_an_item_off_until_the_model_says_another_thing(library, reviewer, gallery):
    first, second, *_ = reviewer.queue()
    decide(library, first, Deed.CONFIRM, "Ida")
    decide(library, second, Deed.REJECT, "Ida")
    left = reviewer.queue()
    assert {first.voice, second.voice} & {item.voice for item in left} == set()
    told = {item.voice: item.decided for item in reviewer.queue(decided=True)}
    assert told[first.voice].deed is Deed.CONFIRM and told[second.voice].singer == "singer 03"
    assert told[left[0].voice] is None
    names = ["singer 99" if name == "singer 03" else name for name in gallery.voices.names]
    renamed = replace(gallery.voices, names=tuple(names))
    anew = Reviewer(library, renamed, TERMS, MAKER.calibration).queue()
    assert second.voice in {item.voice for item in anew} and first.voice not in {item.voice for item in anew}


def test_what_the_model_said_is_kept_with_the_decision(library, reviewer):
    item = reviewer.queue()[0]
    line = decide(library, item, Deed.SOMEBODY_ELSE, "Ida", "Zoë")
    assert line.singer == "Zoë" and line.path == item.path and line.voice == item.voice
    (kept,) = library.decisions()
    assert kept.said["singer"] == "singer 03" and kept.said["nats"] == item.said.nats
    assert kept.said["encoder"] == MAKER.fingerprint and kept.said["terms"]["named_nats"] == 4.0
    assert kept.said["outcome"] == "worth a look" and kept.said["singers"] == 13
    for deed, name in ((Deed.CONFIRM, "Ann"), (Deed.SOMEBODY_ELSE, None), (Deed.MERGE, None)):
        with pytest.raises(ConfigError):
            decide(library, item, deed, "Ida", name)


def test_any_voice_can_be_decided_on_and_which_one_has_to_be_said(library, reviewer):
    duet = library.with_content("sha-duet").id
    with pytest.raises(ConfigError, match=r"has 2 voices; say which one: --voice 1"):
        reviewer.item(duet, None)
    assert reviewer.item(duet, 0).said.singer == "singer 00" and reviewer.item(duet, 1).why == "nobody enrolled"
    with pytest.raises(ConfigError, match="has no voice 3"):
        reviewer.item(duet, 2)
    assert reviewer.item(library.with_content("sha-own-0-50").id, None).voice == VoiceKey("sha-own-0-50", 0)


def test_trials_are_what_the_voices_reach(library, reviewer, gallery):
    assert reviewer.trials() == ()
    queue = reviewer.queue()
    half = [item for item in queue if "half" in item.path]
    twins = [item for item in queue if "half" not in item.path]
    for item in half[:-1]:
        decide(library, item, Deed.REJECT, "Ida")
    decide(library, half[-1], Deed.NOT_SUNG, "Ida")
    decide(library, twins[0], Deed.SOMEBODY_ELSE, "Ida", "TWIN")
    decide(library, twins[1], Deed.CONFIRM, "Ida")
    decide(library, twins[2], Deed.SOMEBODY_ELSE, "Ida", "nobody enrolled")
    found = {trial.singer: trial for trial in reviewer.trials()}
    for item in half:
        trial = found[f"{item.voice.sha256} 0"]
        assert trial.stranger == pytest.approx(item.said.nats, abs=1e-3) and np.isnan(trial.own) and not trial.right
    take = int(twins[0].path[-2:])
    odds = reached(gallery, 10, take)
    place = gallery.voices.names.index("twin")
    left_out = ReadyVoices.of(gallery.voices.without("twin"), MAKER.calibration)
    trial = found["twin"]
    assert trial.right == (odds.argmax() == place) and trial.own == pytest.approx(odds.max(), abs=1e-3)
    stranger = evidence(left_out.compare(MAKER.mean(10, take)[None], np.array([9.0])).llr).max()
    assert trial.stranger == pytest.approx(stranger, abs=1e-3)
    assert found[twins[1].said.singer].right
    assert np.isnan(found[f"{twins[2].voice.sha256} 0"].own)
    below = [trial for trial in found.values() if trial.stranger < TERMS.look_nats]
    assert len(below) == len(library.voices().ids) - len(queue) - 7  # all who are not named, as the queue is empty now


def test_voices_that_did_not_reach_the_queue_count_by_the_share_of_it_that_was_decided(library, reviewer):
    queue = reviewer.queue()
    decide(library, queue[0], Deed.REJECT, "Ida")
    below = [trial for trial in reviewer.trials() if trial.stranger < TERMS.look_nats]
    everybody = len(library.voices().ids) - len(queue) - 7
    assert len(below) == round(everybody / len(queue))
    assert reviewer.trials(leave_out={queue[0].voice.sha256}) == ()


def test_rejected_voices_raise_a_gallerys_threshold(library, reviewer, gallery):
    before = measure_rates(gallery, MAKER.calibration).rates
    for item in reviewer.queue():
        decide(library, item, Deed.REJECT, "Ida")
    trials = reviewer.trials()
    after = measure_rates(gallery, MAKER.calibration, reviewed=trials).rates
    assert after.recordings == before.recordings + len(trials) == 39 + len(trials)
    strangers = np.array([trial.stranger for trial in trials])
    assert (strangers >= TERMS.look_nats).sum() == len(reviewer.queue(decided=True))
    assert after.naming.threshold(0.1) != before.naming.threshold(0.1)
    row = measure_rates(gallery, MAKER.calibration, reviewed=trials).rows[-1]
    assert row.strangers <= row.rate and row.right is not None


def test_exports_are_safe_and_whole(library, reviewer, tmp_path):
    item = reviewer.queue()[0]
    decide(library, item, Deed.SOMEBODY_ELSE, "Ida", "=HYPERLINK(1)")
    library.log("Jo", Deed.MERGE, None, "group 1", None, {"encoder": "e"})
    lines = library.decisions()
    rows = list(csv.DictReader(io.StringIO(as_csv(lines))))
    assert rows[0]["singer"] == "'=HYPERLINK(1)" and rows[0]["model_singer"] == "singer 03"
    assert float(rows[0]["model_nats"]) == item.said.nats and rows[0]["voice"] == "1"
    assert rows[0]["false_accepts"] == "0.01" and rows[1]["decision"] == "merge groups" and rows[1]["sha256"] == ""
    back = json.loads(as_json(lines))
    assert back[0]["said"]["nats"] == item.said.nats and back[0]["deed"] == "somebody else" and back[1]["voice"] is None
    export_decisions(lines, tmp_path / "log.csv")
    assert (tmp_path / "log.csv").read_text() == as_csv(lines)
    with pytest.raises(ConfigError, match=r"\.csv or \.json"):
        export_decisions(lines, tmp_path / "log.txt")


def test_one_enrolled_singer_has_no_runner_up(library, gallery):
    only = gallery.voices.without("twin")
    for name in only.names[1:]:
        only = only.without(name)
    reviewer = Reviewer(library, only, TERMS, MAKER.calibration)
    item = reviewer.item(library.with_content("sha-own-0-50").id, None)
    assert item.said.runner_up is None and not item.said.close
    decide(library, item, Deed.CONFIRM, "Ida")
    assert np.isnan(reviewer.trials()[0].stranger)
