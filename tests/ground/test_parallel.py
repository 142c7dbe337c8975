"""Work in several processes: everything is done once, in any number of processes, and a crash costs one item."""

import os
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from whosings.parallel import Done, cores, each


def square(number: int) -> int:
    return number * number


def square_or_die(number: int) -> int:
    if number == 3:
        os.abort()
    return number * number


def die_once(path: Path) -> str:
    """Killed the first time, as by the system in need of memory."""
    if not path.exists():
        path.write_text("")
        os.kill(os.getpid(), 9)
    return path.name


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_item_is_done_once(workers: int) -> None:
    found = list(each(square, range(12), workers))
    assert sorted((done.item, done.result) for done in found) == [(n, n * n) for n in range(12)]
    assert not any(done.crashed for done in found)


def test_nothing_to_do() -> None:
    assert list(each(square, [], 2)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_that_kills_its_process_is_told_and_the_rest_goes_on(workers: int) -> None:
    found = {done.item: done for done in each(square_or_die, range(8), workers)}
    assert sorted(found) == list(range(8))
    assert found[3].crashed and found[3].result is None
    assert [found[n].result for n in range(8) if n != 3] == [n * n for n in range(8) if n != 3]


def test_a_process_that_dies_once_costs_nothing(tmp_path: Path) -> None:
    (done,) = each(die_once, [tmp_path / "mark"], 1)
    assert done.result == "mark" and not done.crashed


def test_items_are_read_only_as_far_as_there_is_work() -> None:
    read = []

    def items() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    results = each(square, items(), 2)
    next(results)
    time.sleep(0.05)
    assert len(read) <= 5
    results.close()


def test_cores() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_done_already_comes_back_and_lets_results_out(workers: int) -> None:
    """A source that waits for the first result before it gives the last item: results must come meanwhile."""
    seen: list[int | None] = []

    def items() -> Iterator[int | Done[int, int]]:
        yield 1
        while 1 not in seen:
            time.sleep(0.01)
            yield Done(0, None)
        yield 2

    for done in each(square, items(), workers):
        seen.append(done.result)
    assert [result for result in seen if result is not None] == [1, 4]


def note_process(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(60)


def work_for_long(folder: Path) -> None:
    list(each(note_process, [folder, folder], 2))


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    parent = get_context("spawn").Process(target=work_for_long, args=(tmp_path,))
    parent.start()
    while len(list(tmp_path.iterdir())) < 2:
        time.sleep(0.05)
        assert parent.is_alive()
    parent.kill()
    parent.join()
    left = {int(path.name) for path in tmp_path.iterdir()}
    for _ in range(200):
        left = {number for number in left if Path(f"/proc/{number}").exists()}
        if not left:
            break
        time.sleep(0.05)
    assert not left
