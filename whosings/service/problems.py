"""What a service says when it cannot answer: one sentence, as RFC 9457 has it (``application/problem+json``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

from starlette.exceptions import HTTPException
from starlette.responses import Response

from whosings.console import json_text
from whosings.errors import (
    AudioError,
    CheckpointError,
    ConfigError,
    GalleryError,
    LibraryError,
    TooLongError,
    WhosingsError,
)
from whosings.service.rows import Problem

MEDIA_TYPE = "application/problem+json"
BUSY_S = 5
"""Seconds after which somebody who was told to come again should."""


class Refusal(HTTPException):
    """A request that is not answered, with the status and the sentence.

    Args:
        title: the kind of problem.
        retry_s: after which the same request may succeed.
    """

    def __init__(self, status: int, title: str, detail: str, retry_s: int | None = None) -> None:
        headers = None if retry_s is None else {"Retry-After": str(retry_s)}
        super().__init__(status, detail, headers)
        self.title, self.retry_s = title, retry_s

    def __reduce__(self) -> tuple[type[Refusal], tuple[int, str, str, int | None]]:
        return (type(self), (self.status_code, self.title, self.detail, self.retry_s))


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """A problem as a response."""
    return Response(json_text(asdict(problem)), problem.status, headers, MEDIA_TYPE)


def refusal_of(error: WhosingsError) -> Refusal:
    """What is said of an error that nobody foresaw at that place.

    Bad recordings and settings are the client's. A gallery or a library that cannot be used is the service's, and the
    client may come again.
    """
    title, sentence = type(error).__name__, str(error)
    if isinstance(error, TooLongError):
        return Refusal(413, title, sentence)
    if isinstance(error, AudioError | ConfigError):
        return Refusal(422, title, sentence)
    if isinstance(error, GalleryError | LibraryError | CheckpointError):
        return Refusal(503, title, sentence, BUSY_S)
    return Refusal(500, title, sentence)


def no_room(error: OSError) -> Refusal:
    """What is said where the service cannot write what it has to."""
    return Refusal(503, "NoRoom", f"The service cannot keep the upload ({error.strerror}); ask again later.", 60)


@contextmanager
def refused_with(status: int, *kinds: type[WhosingsError]) -> Iterator[None]:
    """Errors of some kinds inside, any of ours unless given, are refusals with this status."""
    try:
        yield
    except WhosingsError as error:
        if kinds and not isinstance(error, kinds):
            raise
        raise Refusal(status, type(error).__name__, str(error)) from error


def named_anew(error: WhosingsError, path: str, name: str) -> WhosingsError:
    """An error of an upload under the name that its sender knows.

    Args:
        path: where it lay for the time of the request.
    """
    problem, remedy = (text.replace(path, name) for text in (error.problem, error.remedy))
    return type(error)(name, problem, remedy)
