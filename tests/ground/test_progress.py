"""Steps are told in full, whatever happens on the way."""

import pytest

from whosings.progress import silent, stage


class Told:
    """A ``Progress`` that remembers: label -> [steps promised, steps told]."""

    def __init__(self):
        self.stages = {}

    def __call__(self, label, steps):
        counts = self.stages.setdefault(label, [steps, 0])

        def step():
            counts[1] += 1

        return step


def test_each_step_is_told_when_it_is_reached():
    told, seen = Told(), []
    with stage(told, "work", 4) as step:
        for done in (1, 1, 3):
            step(done)
            seen.append(told.stages["work"][1])
    assert seen == [1, 1, 3] and told.stages == {"work": [4, 4]}


@pytest.mark.parametrize("done", [0, 2, 9])
def test_a_wrong_estimate_is_told_in_full_and_not_beyond(done):
    told = Told()
    with stage(told, "work", 5) as step:
        step(done)
        assert told.stages["work"][1] < 5, "it is not over yet"
    assert told.stages == {"work": [5, 5]}


def test_work_of_no_steps_is_told_as_one_because_none_would_be_an_unknown_number():
    told = Told()
    with stage(told, "work", 0):
        pass
    assert told.stages == {"work": [1, 1]}


def test_work_that_breaks_off_is_over():
    told = Told()
    with pytest.raises(RuntimeError), stage(told, "work", 3):
        raise RuntimeError
    assert told.stages == {"work": [3, 3]}
    with stage(silent, "work", 3) as step:
        step(1)
