"""Plans: sets without a singer in common, clones in balance, speakers on one side of it."""

from collections import Counter
from dataclasses import replace

import pytest

from whosings.choir.conversion import METHODS
from whosings.choir.plan import BACKINGS, PRESETS, TRACTS, Part, Preset, make_plan, needs
from whosings.errors import ConfigError

BASES = {"speech": 261, "diphone": 70}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_planned_in_full(name):
    preset = PRESETS[name]
    plan = make_plan(preset, 0, BASES)
    for part_name in ("closed", "train", "validation"):
        part = getattr(preset, part_name)
        roles = [role for role in plan.cast if role.set == part_name]
        assert len(roles) == part.singers
        assert [role.songs for role in roles] == [part.songs_of(place) for place in range(part.singers)]
        assert {role.kind for role in roles} <= {part.kind}
    assert len({role.name for role in plan.cast}) == len({role.number for role in plan.cast}) == len(plan.cast)
    assert Counter(clone.target.name for clone in plan.clones) == {
        f"singer-{n:04d}": preset.clones for n in range(preset.targets)
    }


def test_the_standard_presets_are_as_large_as_promised():
    for name in ("standard", "standard-speech", "standard-diphone"):
        preset = PRESETS[name]
        assert preset.closed.singers >= 300 and preset.closed.songs >= 7
        assert preset.targets >= 60 and preset.targets * preset.clones >= 370
        assert preset.train.singers and preset.validation.singers
    assert needs(PRESETS["standard"]) == set()
    assert needs(PRESETS["standard-diphone"]) == {"diphone"} and needs(PRESETS["standard-speech"]) == {"speech"}


def test_methods_and_bands_are_balanced_and_every_pair_occurs():
    plan = make_plan(PRESETS["standard"])
    pairs = Counter((clone.method, clone.backing) for clone in plan.clones)
    assert set(pairs) == {(method, backing) for method in METHODS for backing in BACKINGS}
    assert max(pairs.values()) - min(pairs.values()) <= 2


def test_nobody_clones_itself_and_bands_are_whose_they_are_said_to_be():
    plan = make_plan(PRESETS["standard"])
    for clone in plan.clones:
        assert clone.source != clone.target
        assert clone.song < max(1, clone.source.songs)
        if clone.backing == "unfamiliar":
            assert clone.owner.set == "guest" and clone.source.set in ("guest", "closed")
        else:
            assert clone.owner == clone.source and clone.source.set == clone.backing
    guests = [clone.owner.number for clone in plan.clones if clone.owner.set == "guest"]
    assert len(set(guests)) == len(guests)
    newcomers = [clone.source.set == "guest" for clone in plan.clones if clone.backing == "unfamiliar"]
    assert 0.4 < sum(newcomers) / len(newcomers) < 0.6


def test_a_singer_is_the_same_in_every_preset_and_no_set_shares_numbers():
    small, standard = (make_plan(PRESETS[name]) for name in ("small", "standard"))
    names = {role.name: role.number for role in standard.cast}
    assert all(names[role.name] == role.number for role in small.cast)
    closed = {role.number for role in standard.cast if role.set == "closed"}
    assert not closed & {role.number for role in small.cast if role.set != "closed"}


def test_the_seed_decides_and_nothing_else():
    assert make_plan(PRESETS["small"], 1) == make_plan(PRESETS["small"], 1) != make_plan(PRESETS["small"], 2)


@pytest.mark.parametrize("name", ["standard-speech", "standard-diphone"])
@pytest.mark.parametrize("count", [64, 113, 150, 261, 1000])
def test_sets_share_no_base_and_no_identity_occurs_twice(name, count):
    if name == "standard-speech" and count < 112:
        pytest.skip("too few")
    plan = make_plan(PRESETS[name], 0, {"speech": count, "diphone": count})
    bases = {}
    for role in plan.cast:
        if role.base is not None:
            assert bases.setdefault(role.base, role.set) == role.set
            assert 0 <= role.base < count
    identities = [(role.base, role.tract) for role in plan.cast if role.base is not None]
    assert len(set(identities)) == len(identities)
    assert all(clone.source.base is None or clone.source.base != clone.target.base for clone in plan.clones)


def test_where_there_are_enough_speakers_they_keep_their_own_tract():
    plan = make_plan(PRESETS["standard-speech"], 0, {"speech": 600})
    assert {role.tract for role in plan.cast} == {TRACTS[0]} == {1.0}


@pytest.mark.parametrize(
    ("name", "bases", "message"),
    [
        ("standard-speech", {"speech": 111}, "needs 112 speakers and there are 111; give a larger folder"),
        ("standard-diphone", {}, "needs 64 diphone voices and there are 0; install more"),
    ],
)
def test_too_few_speakers_or_voices_are_refused(name, bases, message):
    with pytest.raises(ConfigError, match=message):
        make_plan(PRESETS[name], 0, bases)


def test_more_targets_than_singers_are_refused():
    with pytest.raises(ConfigError, match="clones more singers than it has"):
        make_plan(replace(PRESETS["tiny"], targets=5))


def test_a_lone_singer_is_cloned_from_newcomers():
    nobody = Part(0, 0)
    plan = make_plan(Preset("lone", Part(1, 1), nobody, nobody, targets=1, clones=3, duration_s=2.0))
    assert {clone.source.set for clone in plan.clones} == {"guest"}
