"""Thresholds by false-accept rate: of a model, of a gallery, and what an answer says with them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.product.test_identification import DIMENSIONS, KNOWN, OFFSET, PRINT, calibrated, track
from whosings.answer import Outcome, Verdict
from whosings.calibration import calibration_of
from whosings.calibration_fitting import calibrate
from whosings.encoder.checkpoint import load_checkpoint, rewrite_card
from whosings.errors import CheckpointError, ConfigError, GalleryError
from whosings.false_accepts import FalseAccepts, look_rate
from whosings.gallery import Gallery
from whosings.gallery_rates import measure_rates
from whosings.identification import Identifier, Verifier

CENTRED = replace(KNOWN, centre=tuple(OFFSET / 10))
TABLE = FalseAccepts((0.001, 0.01, 0.1, 0.2), (6.0, 4.0, 1.0, 0.0), 5000)
MANY = np.random.default_rng(5).standard_normal((400, DIMENSIONS))


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.05, 0.2])
def test_as_many_strangers_pass_as_are_stated(rate):
    rng = np.random.default_rng(0)
    table = FalseAccepts.measured(rng.normal(-5, 3, 50_000))
    unseen = rng.normal(-5, 3, 200_000) >= table.threshold(rate)
    assert table.trials == 50_000 and unseen.mean() == pytest.approx(rate, rel=0.3)


def test_on_its_own_trials_no_rate_is_exceeded():
    values = np.round(np.random.default_rng(1).normal(size=3000), 1)  # many are equal
    table = FalseAccepts.measured(values)
    for rate in table.rates:
        assert np.mean(values >= table.threshold(rate)) <= rate


@pytest.mark.parametrize(("trials", "least"), [(3000, 0.001), (2999, 0.002), (300, 0.01), (60, 0.05), (15, 0.2)])
def test_no_rate_is_stated_that_the_trials_cannot_show(trials, least):
    """None of 3 / rate: the rule of three."""
    assert FalseAccepts.measured(np.arange(trials)).rates[0] == least


def test_between_two_rates_the_threshold_is_between():
    assert TABLE.threshold(np.sqrt(0.01 * 0.1)) == pytest.approx(2.5)
    assert TABLE.threshold(0.01) == 4.0


@pytest.mark.parametrize("rate", [0.0005, 0.3])
def test_a_rate_that_was_not_measured_is_refused_with_those_that_were(rate):
    with pytest.raises(
        ConfigError, match=r"cannot be stated from 5000 trials of strangers; choose between 0.1% and 20%"
    ):
        TABLE.threshold(rate)
    with pytest.raises(ConfigError, match="measure on more recordings"):
        FalseAccepts.measured(np.arange(5)).threshold(0.01)


@pytest.mark.parametrize(
    "wrong", [{"rates": (0.1, 0.01)}, {"nats": (1.0, 2.0)}, {"rates": (0.0, 0.1)}, {"nats": (1.0,)}, {"trials": -1}]
)
def test_a_table_that_cannot_be_is_told(wrong):
    fine = FalseAccepts((0.01, 0.1), (2.0, 1.0), 300)
    assert fine.faults() == [] and replace(fine, **wrong).faults()
    with pytest.raises(CheckpointError, match="false-accept rates that are no"):
        calibration_of(calibrated(replace(KNOWN, naming=replace(fine, **wrong))).checkpoint)


def test_of_few_singers_another_threshold_counts(tmp_path):
    """On a line between the numbers that were measured, beyond them the last one."""
    few = (FalseAccepts((0.01, 0.1), (8.0, 6.0), 900, 1), FalseAccepts((0.1,), (3.0,), 90, 4))
    found = replace(KNOWN, naming=replace(TABLE, singers=16), naming_few=few)
    assert [found.naming_threshold(0.01, n) for n in (0, 1, 4, 16, 100)] == [8.0, 8.0, pytest.approx(6.0), 4.0, 4.0]
    assert [found.naming_threshold(0.1, n) for n in (1, 2, 4, 8, 16)] == [
        6.0,
        pytest.approx(4.5),
        3.0,
        pytest.approx(2.0),
        1.0,
    ]
    assert found.naming_threshold(0.001, 1) == 6.0  # of few it was not measured
    assert calibration_of(calibrated(found).checkpoint) == found
    with Gallery(tmp_path / "g", PRINT) as gallery:
        identifier = None
        for number, expected in enumerate((8.0, 7.0, None, 6.0)):
            gallery.add(str(number), track([number] * 5, number), str(number))
            identifier = identifier or Identifier(gallery, calibrated(found))
            if expected is not None:
                assert identifier.terms.named_nats == pytest.approx(expected)


def test_the_rate_holds_in_galleries_of_few_singers_of_one_place(fitted_in_places, tmp_path):
    """Other singers, who share what is not the voice: a few of them enrolled, the others asked."""
    calibration, place = fitted_in_places, 0.8 * np.random.default_rng(3).standard_normal(DIMENSIONS)
    moved = MANY[200:260] + place
    usual = replace(calibration, naming_few=())
    for size in (1, 2):
        named, before = [], []
        for first in range(0, 12, size):
            with Gallery(tmp_path / f"{size}-{first}", PRINT) as gallery:
                for n in range(first, first + size):
                    gallery.add(str(n), track([n] * 20, n, voices=moved), str(n))
                both = [Identifier(gallery, calibrated(one), false_accepts=0.05) for one in (calibration, usual)]
                probes = [track([n] * 10, 30_000 + n, voices=moved) for n in range(12, 60)]
                for identifier, answers in zip(both, (named, before), strict=True):
                    answers += [bool(identifier.answer(probe).named) for probe in probes]
        assert np.mean(named) <= 0.1 < np.mean(before), size


def test_the_rate_of_a_look():
    assert [look_rate(rate) for rate in (0.001, 0.05, 0.08, 0.2)] == [0.1, 0.1, 0.16, 0.2]


def test_a_calibration_comes_back_from_a_card():
    table = replace(KNOWN, naming=TABLE, verifying=TABLE)
    card = json.loads(json.dumps(table.to_card()))
    embedder = calibrated(KNOWN)
    assert calibration_of(replace(embedder.checkpoint, card={"calibration": card})) == table


@pytest.fixture(scope="module")
def fitted_in_places():
    """A calibration fitted on 100 singers in twenty places, whose voices share a direction."""
    places = 0.8 * np.random.default_rng(2).standard_normal((20, DIMENSIONS))
    voices = MANY[:100] + np.repeat(places, 5, axis=0)
    tracks = [track([n] * 10, 9000 + n * 5 + k, voices=voices).vectors for n in range(100) for k in range(4)]
    singers = [str(n) for n in range(100) for _ in range(4)]
    return calibrate(tracks, singers, "made", places=[str(n // 5) for n in range(100) for _ in range(4)])


@pytest.fixture(scope="module")
def fitted():
    """A calibration fitted on 100 singers with four tracks each."""
    tracks = [track([n] * 10, 9000 + n * 5 + k, voices=MANY).vectors for n in range(100) for k in range(4)]
    return calibrate(tracks, [str(n) for n in range(100) for _ in range(4)], "made")


def test_the_rate_of_names_holds_for_strangers_who_did_not_fit_it(fitted, tmp_path):
    """Other singers, a gallery of another size, and 600 probes of people who are not in it."""
    with Gallery(tmp_path / "g", PRINT) as gallery:
        for n in range(100, 140):
            gallery.add(str(n), track([n] * 20, n, voices=MANY), str(n))
        probes = [track([140 + n % 200] * 10, 20_000 + n, voices=MANY) for n in range(600)]
        shares = {}
        for rate in (0.01, 0.05, 0.1):
            identifier = Identifier(gallery, calibrated(fitted), false_accepts=rate)
            shares[rate] = np.mean([bool(identifier.answer(probe).named) for probe in probes])
    assert shares[0.01] <= 0.03 and shares[0.05] <= 0.1 and 0.03 <= shares[0.1] <= 0.2


@pytest.fixture
def gallery(tmp_path):
    with Gallery(tmp_path / "g", PRINT) as opened:
        for singer in range(12):
            for number in range(3):
                opened.add(f"singer {singer}", track([singer] * 10, singer * 10 + number), f"{singer}{number}")
        yield opened


def nats(gallery, probe, leave_out=None):
    """Log-odds of the likeliest singer, from the probabilities of an answer at even odds."""
    best = Identifier(gallery, calibrated(CENTRED), 0.5).answer(probe, 1, leave_out)
    return np.log(best.top[0].probability / best.unknown_probability)


def test_three_outcomes(gallery):
    probe = track([3] * 4, 77, noise=2.5)
    reached = nats(gallery, probe)

    def said(named, look):
        table = FalseAccepts((0.01, 0.1), (named, look), 300)
        return Identifier(gallery, calibrated(replace(CENTRED, naming=table))).answer(probe)

    named, look, unknown = (
        said(reached - 1, reached - 2),
        said(reached + 1, reached - 1),
        said(reached + 2, reached + 1),
    )
    assert (named.verdict, look.verdict, unknown.verdict) == (Verdict.SINGER, Verdict.WORTH_A_LOOK, Verdict.UNKNOWN)
    assert (named.named, look.named, unknown.named) == (("singer 3",), (), ())
    assert (named.worth_a_look, look.worth_a_look, unknown.worth_a_look) == ((), ("singer 3",), ())
    assert [answer.voices[0].outcome for answer in (named, look, unknown)] == list(Outcome)
    assert unknown.voices[0].singer is None and look.voices[0].probability == named.voices[0].probability
    assert named.top == look.top == unknown.top  # the rate decides on names, and on no probability
    assert str(named.terms) == "1% of strangers would be given a name, too (on the model's calibration set)."


def test_a_prior_decides_by_probability(gallery):
    table = FalseAccepts((0.01, 0.1), (50.0, 40.0), 300)
    embedder = calibrated(replace(CENTRED, naming=table))
    probe = track([3] * 8, 503)
    assert Identifier(gallery, embedder).answer(probe).named == ()
    by_prior = Identifier(gallery, embedder, 0.5).answer(probe)
    assert by_prior.named == ("singer 3",) and by_prior.terms.false_accepts is None
    assert str(by_prior.terms) == "A name is given where it is likelier than somebody who is not enrolled."
    assert Identifier(gallery, embedder, 0.5, false_accepts=0.01).answer(probe).named == ()


def test_rates_of_which_nothing_is_known(gallery):
    bare = calibrated(CENTRED)
    assert Identifier(gallery, bare).terms.false_accepts is None
    with pytest.raises(CheckpointError, match="carries no rates of false accepts; leave --false-accepts out, or"):
        Identifier(gallery, bare, false_accepts=0.01)
    with pytest.raises(ConfigError, match=r"0.01% cannot be stated"):
        Identifier(gallery, calibrated(replace(CENTRED, naming=TABLE)), false_accepts=0.0001)


def test_a_gallery_is_measured_as_identify_answers(gallery):
    """Strangers: what identify says with the singer left out."""
    expected = [
        nats(gallery, track([singer] * 10, singer * 10 + number), f"singer {singer}")
        for singer in range(12)
        for number in range(3)
    ]
    found = measure_rates(gallery, CENTRED)
    assert (found.rates.singers, found.rates.recordings, found.held_back) == (12, 36, 36)
    assert found.rates.naming.rates == (0.1, 0.2)
    ordered = np.sort(expected)[::-1]
    for rate, threshold in zip(found.rates.naming.rates, found.rates.naming.nats, strict=True):
        assert threshold == pytest.approx(ordered[int(rate * 36)], abs=0.02)  # embeddings are kept in half precision


def test_recordings_are_held_back_from_their_own_singer(gallery, tmp_path):
    """Named right is what a gallery without the recording answers."""
    reached, right = [], []
    for singer in range(12):
        for held in range(3):
            with Gallery(tmp_path / f"{singer}-{held}", PRINT) as other:
                for who in range(12):
                    for number in range(3):
                        if (who, number) != (singer, held):
                            other.add(f"singer {who}", track([who] * 10, who * 10 + number), f"{who}{number}")
                probe = track([singer] * 10, singer * 10 + held)
                reached.append(nats(other, probe))
                right.append(Identifier(other, calibrated(CENTRED)).answer(probe).top[0].singer == f"singer {singer}")
    threshold = float(np.median(reached)) + 1e-3
    calibration = replace(CENTRED, naming=FalseAccepts((0.2,), (threshold,), 300))
    row = measure_rates(gallery, calibration).rows[0]
    assert (row.measured_on, row.rate, row.nats) == ("the model", 0.2, threshold)
    expected = np.mean((np.array(reached) >= threshold) & np.array(right))
    assert row.right == pytest.approx(expected, abs=1 / 36 + 1e-6) and 0 < row.right < 1 and row.wrong == 0


def test_measured_rates_are_kept_and_stated_and_go_stale(gallery):
    embedder = calibrated(replace(CENTRED, naming=TABLE))
    gallery.keep_rates(measure_rates(gallery, CENTRED).rates)
    with Gallery(gallery.path) as again:
        terms = Identifier(again, embedder, false_accepts=0.1).terms
        assert terms.named_nats == again.rates.naming.threshold(0.1)
        assert terms.measured_on == "measured on your 12 singers"
        few = Identifier(again, embedder).terms
        assert few.named_nats == TABLE.threshold(0.01)
        assert few.measured_on.endswith("calibration set; your 12 singers are too few to measure it")
        again.check()
        again.add("another", track([30] * 10, 1), "x")
        assert again.rates.changed
        stale = Identifier(again, embedder, false_accepts=0.1).terms
        assert stale.measured_on == "measured on your gallery when it had 12 singers"


def test_a_gallery_of_a_few_singers_cannot_be_measured(tmp_path):
    with Gallery(tmp_path / "g", PRINT) as few:
        few.add("Ann", track([0] * 5, 1), "1")
        with pytest.raises(
            GalleryError, match=r"has too few singers \(1\) to measure a rate on; enrol 10 singers or more"
        ):
            measure_rates(few, CENTRED)


def test_singers_of_one_recording_are_strangers_and_never_held_back(tmp_path):
    with Gallery(tmp_path / "g", PRINT) as gallery:
        for singer in range(15):
            gallery.add(f"singer {singer}", track([singer] * 10, singer), str(singer))
        found = measure_rates(gallery, replace(CENTRED, naming=TABLE))
    assert found.held_back == 0 and found.rates.recordings == 15
    assert found.rows and all(row.right is None and row.wrong is None for row in found.rows)


def test_damaged_rates_are_told(gallery):
    gallery.keep_rates(measure_rates(gallery, CENTRED).rates)
    with gallery._writing():
        gallery._say(rates='{"singers": 12}')
    with Gallery(gallery.path) as again, pytest.raises(GalleryError, match="false-accept rates cannot be read"):
        _ = again.rates


def test_verification_by_rate():
    table = FalseAccepts((0.001, 0.01, 0.1), (9.0, 3.0, 0.5), 3000)
    embedder = calibrated(replace(CENTRED, verifying=table, threshold=3.0, checked="Seen elsewhere."))
    one, other = track([1] * 3, 1, noise=2.0), track([1] * 3, 2, noise=2.0)
    usual = Verifier(embedder).compare(one, other)
    assert (usual.false_accept_rate, usual.checked) == (0.01, "Seen elsewhere.")
    found = {rate: Verifier(embedder, false_accepts=rate).compare(one, other) for rate in table.rates}
    assert found[0.01] == usual
    assert found[0.001].threshold > found[0.01].threshold > found[0.1].threshold
    llr = np.log(usual.probability / (1 - usual.probability))
    assert [answer.same for answer in found.values()] == [bool(llr >= least) for least in table.nats]
    assert found[0.1].checked == ""  # what was seen elsewhere was seen at another rate
    with pytest.raises(CheckpointError, match="carries no threshold for a false-accept rate but 1%"):
        Verifier(calibrated(CENTRED), false_accepts=0.05)


def test_commands_by_rate(run, tiny, small_choir, tmp_path):
    """A gallery of twelve names, calibrated; answers say on whose terms they are."""
    songs = [track.path for track in small_choir.tracks]
    encoder = ("--encoder", tiny.folder)
    gallery = tmp_path / "g"
    for number in range(12):
        run("enrol", f"singer {number}", songs[number], "-g", gallery, *encoder)
    code, out, err = run("gallery", "calibrate", "-g", gallery, *encoder)
    assert (code, err) == (0, "") and "12 singers left out in turn, 12 recordings asked as strangers'" in out
    assert "none: enrol more recordings" in out
    for number in range(6):
        run("enrol", f"singer {number}", songs[12 + number], "-g", gallery, *encoder)
    code, out, err = run("gallery", "calibrate", "-g", gallery, *encoder)
    assert code == 0 and "from 20% on" in out and "this gallery" in out
    found = json.loads(run("gallery", "calibrate", "-g", gallery, *encoder, "--json")[1])
    assert found["rates"]["recordings"] == 18 and found["held_back"] == 12
    code, out, _ = run("identify", songs[0], "-g", gallery, *encoder, "--false-accepts", "20%")
    assert code == 0 and "20% of strangers would be given a name, too (measured on your 12" in out
    answer = json.loads(run("identify", songs[0], "-g", gallery, *encoder, "--false-accepts", "0.2", "--json")[1])[0]
    assert (
        answer["terms"]["false_accepts"] == 0.2 and answer["terms"]["named_nats"] == found["rates"]["naming"]["nats"][0]
    )
    code, _, err = run("identify", songs[0], "-g", gallery, *encoder, "--false-accepts", "1%")
    assert code == 1 and "a false-accept rate: of 1% cannot be stated from 18 trials" in err
    code, _, err = run("identify", songs[0], "-g", gallery, *encoder, "--false-accepts", "much")
    assert code == 2 and "much is no rate; write 1% or 0.01" in err


def test_calibrate_copies_an_encoder_that_ships(run, tiny, small_choir, choir_folder, tmp_path):
    code, _, err = run("calibrate", "fast", "--from", choir_folder / "choir.parquet")
    assert code == 2 and "fast ships with whosings and is not changed; name a folder with --out" in err
    before = load_checkpoint(tiny.folder)
    copy = tmp_path / "mine"
    code, _, err = run("calibrate", tiny.folder, "--from", choir_folder / "choir.parquet", "--out", copy)
    assert code == 0, err
    after = load_checkpoint(copy)
    assert after.fingerprint == before.fingerprint and load_checkpoint(tiny.folder).card == before.card
    assert after.card["calibration"]["material"] == "choir.parquet" and after.card["name"] == "tiny"
    rewrite_card(copy, {"name": "other"})
    code, _, err = run("calibrate", "fast", "--from", choir_folder / "choir.parquet", "--out", copy)
    assert code == 1 and "holds another checkpoint; name an empty folder" in err
    assert load_checkpoint(copy).card == {"name": "other"}
