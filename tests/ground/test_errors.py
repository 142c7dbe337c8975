"""Errors: one sentence each, whole across processes."""

import inspect
import multiprocessing
import pickle
from pathlib import Path

import pytest

from whosings import errors
from whosings.errors import AudioError, MissingExtraError, WhosingsError

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, WhosingsError)]


def test_what_others_say_is_one_short_line() -> None:
    assert errors.clause(ValueError("no room\n  at all.")) == "no room at all"
    assert errors.clause(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert len(errors.clause(ValueError("word " * 100))) <= 200


def test_there_are_errors_to_test() -> None:
    assert len(ALL) > 10 and MissingExtraError in ALL


@pytest.mark.parametrize("kind", ALL)
def test_the_message_is_one_sentence(kind: type[WhosingsError]) -> None:
    error = kind(Path("song.mp3"), "is damaged", "copy it again")
    assert str(error) == "song.mp3: is damaged; copy it again."
    assert (error.subject, error.problem, error.remedy) == ("song.mp3", "is damaged", "copy it again")
    assert kind.__doc__


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_survive_pickling(kind: type[WhosingsError], protocol: int) -> None:
    error = kind("a", "b", "c")
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is kind and str(again) == str(error) and vars(again) == vars(error)


def raise_in_a_worker(_: int) -> None:
    raise AudioError("song.mp3", "is damaged", "copy it again")


def test_errors_cross_processes() -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool, pytest.raises(AudioError, match=r"^song.mp3: is damaged"):
        pool.map(raise_in_a_worker, [0])


def test_every_audio_error_is_caught_as_one() -> None:
    named = {"MissingFile", "UnreadableAudio", "TruncatedAudio", "EmptyAudio", "NonFiniteAudio", "SilentAudio"}
    named |= {"TooShort", "TooLong"}
    assert {kind.__name__ for kind in AudioError.__subclasses__()} == {f"{name}Error" for name in named}


def test_require_names_package_and_command() -> None:
    MissingExtraError.require("json", "reading", "any")
    with pytest.raises(MissingExtraError) as caught:
        MissingExtraError.require("no_such_package_anywhere", "separating vocals", "separate")
    assert str(caught.value) == (
        "separating vocals: needs the package no_such_package_anywhere, which is not installed; "
        "run: pip install 'whosings[separate]'."
    )
