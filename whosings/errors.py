"""Typed errors. Each message is one sentence: what is named, what is wrong with it, what to do about it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Self

from whosings.safe_text import encodable


class WhosingsError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        subject: what the message is about: a file, a table, a setting.
        problem: what is wrong with it, as a clause without a full stop.
        remedy: what the reader can do, as a clause without a full stop.
    """

    def __init__(self, subject: str | Path, problem: str, remedy: str) -> None:
        self.subject = encodable(subject)
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{self.subject}: {problem}; {remedy}.")

    def about(self, subject: str | Path) -> Self:
        """The same of something else: of what a temporary file is a copy of, say."""
        return type(self)(subject, self.problem, self.remedy)

    def __reduce__(self) -> tuple[type[WhosingsError], tuple[str, str, str]]:
        """Errors cross process boundaries (data-loading workers) whole."""
        return (type(self), (self.subject, self.problem, self.remedy))


class ConfigError(WhosingsError):
    """A setting is unknown, of the wrong type, or contradicts another."""


class AudioError(WhosingsError):
    """A recording cannot be used. Subclasses say why."""


class MissingFileError(AudioError):
    """There is no such file."""


class UnreadableAudioError(AudioError):
    """The file is not audio, is of an unsupported format, or is damaged."""


class TruncatedAudioError(AudioError):
    """The file ends before the length its header promises."""


class EmptyAudioError(AudioError):
    """The file holds no samples."""


class NonFiniteAudioError(AudioError):
    """The samples contain NaN or infinity."""


class SilentAudioError(AudioError):
    """Every sample is (nearly) zero."""


class TooShortError(AudioError):
    """The recording is shorter than one second."""


class TooLongError(AudioError):
    """The recording is longer than the limit that keeps memory bounded."""


class ManifestError(WhosingsError):
    """A manifest has unknown or missing columns, duplicate ids, or bad values."""


class TagError(WhosingsError):
    """A file's tags cannot be read or written, or a journal of such writes cannot be used."""


class AnnotationError(WhosingsError):
    """What a source says of tracks and artists cannot be had. Subclasses say why."""


class ServiceBusyError(AnnotationError):
    """A service still answers that it is busy, or does not answer, after every retry."""


class ServiceRefusalError(AnnotationError):
    """A service refuses the request: a bad token, a blocked client, a query it cannot take."""


class MalformedAnswerError(AnnotationError):
    """A service's answer, or a line of a dump, is not in the documented format."""


class SeparationError(WhosingsError):
    """A separation model cannot be loaded, gives no usable stem, or a ready-made stem is missing."""


class CheckpointError(WhosingsError):
    """A checkpoint is missing, damaged, or made for another model."""


class GalleryError(WhosingsError):
    """A gallery is missing, damaged, empty, or belongs to another encoder."""


class LibraryError(WhosingsError):
    """A library is missing, damaged, or belongs to another encoder, or it cannot be used now."""


class ClusterError(WhosingsError):
    """A cluster cannot be reached, or cannot do the work."""


class StorageError(WhosingsError):
    """Something on an object store cannot be read or written."""


class MissingObjectError(StorageError):
    """There is no such object."""


class ChangedObjectError(StorageError):
    """Somebody else changed an object meanwhile, or made one where none was to be."""


class TrainingError(WhosingsError):
    """Training cannot start or go on with the given data and settings."""


class EvaluationError(WhosingsError):
    """An evaluation cannot run on what it was given."""


class MissingExtraError(WhosingsError):
    """An optional dependency is needed and not installed."""

    @staticmethod
    def require(module: str, purpose: str, extra: str) -> None:
        """Raise unless ``module`` can be imported; ``extra`` is the name of the dependencies that bring it."""
        if find_spec(module) is None:
            raise MissingExtraError(
                purpose, f"needs the package {module}, which is not installed", f"run: pip install 'whosings[{extra}]'"
            )


def clause(error: BaseException) -> str:
    """What an error of somebody else's code says, short and on one line, to stand inside a message."""
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
