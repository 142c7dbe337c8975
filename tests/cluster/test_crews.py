"""What is given to whom, and how a cluster is reached: without one."""

import os
from importlib.util import find_spec

import pytest

from tests.cluster.jobs import half, rest
from whosings.cluster import RayEngine, _Ask
from whosings.cluster_work import Census, ClusterWork, _Member, _Task, _versions, _Worker
from whosings.errors import ClusterError, LibraryError
from whosings.parallel import InHalves

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra scale")


class Actor:
    """Takes whatever it is given."""

    @property
    def work(self) -> "Actor":
        return self

    answer = work

    def remote(self, half: object) -> object:
        return object()


def test_who_had_a_suspect_for_itself_takes_others_when_it_is_done():
    work: ClusterWork[int, str] = ClusterWork(InHalves(half, rest), None, 1.0, Census())
    only, suspect, other = _Member(Actor()), _Task(1, kills=1), _Task(2)
    work._last.members.append(only)
    work._halves.extend((suspect, other))
    work._give_halves()
    assert only.tasks == [suspect] and list(work._halves) == [other]
    only.done(suspect)
    work._give_halves()
    assert only.tasks == [other] and not work._halves


def test_without_an_address_a_cluster_is_begun_whatever_runs_here(monkeypatch):
    import ray

    asked = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda address, **_: asked.append(address))
    for address in (None, "auto", "host:1"):
        RayEngine.connect(address)
    assert asked == ["local", "auto", "host:1"]


def test_versions_are_told_as_people_write_them():
    assert " on Python 3." in _versions()


def test_a_process_that_was_given_no_gpu_sees_none(monkeypatch):
    monkeypatch.setattr("whosings.cluster_work.take_one_thread", lambda: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    _Worker(abs, 0.25)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    _Worker(abs, 0)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_what_is_wrong_with_an_answer_is_one_sentence(monkeypatch):
    import ray

    def answer(error):
        def get(reference):
            raise error

        monkeypatch.setattr(ray, "get", get)
        return _Ask(Actor())("who?")

    damaged = LibraryError("songs.library", "is damaged", "restore it")
    with pytest.raises(LibraryError) as caught:
        answer(ray.exceptions.RayTaskError("answer", "Traceback", damaged).as_instanceof_cause())
    assert str(caught.value) == str(damaged)
    with pytest.raises(ClusterError, match="lost the process that answers"):
        answer(ray.exceptions.RayActorError())
