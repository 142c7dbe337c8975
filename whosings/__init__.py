"""Who sings? Singer identification for real recordings and for cloned voices.

>>> import whosings
>>> answer = whosings.identify("song.mp3", gallery="my-singers")    # doctest: +SKIP
>>> answer.verdict, answer.top[0].singer, answer.notice              # doctest: +SKIP

The functions here open what they need and close it again. For many files use the classes they are made of:
``TrackEmbedder``, ``Gallery``, ``Identifier`` and ``Verifier``. Importing the package loads none of them. Each comes
when it is first named.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whosings.answer import Answer, Verification
    from whosings.embedding import Embeddings, TrackEmbedder
    from whosings.gallery import Gallery
    from whosings.identification import Identifier, Verifier
    from whosings.vocals.activity import Activity

__version__ = "0.2.0"
__all__ = [
    "Answer",
    "Embeddings",
    "Gallery",
    "Identifier",
    "TrackEmbedder",
    "Verification",
    "Verifier",
    "__version__",
    "embed",
    "enrol",
    "identify",
    "verify",
    "vocal_activity",
]

_DEFAULT_ENCODER = "default"
_HOMES = {
    "Answer": "answer",
    "Embeddings": "embedding",
    "Gallery": "gallery",
    "Identifier": "identification",
    "TrackEmbedder": "embedding",
    "Verification": "answer",
    "Verifier": "identification",
}


def __getattr__(name: str) -> Any:
    """A class of the public face, from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def identify(
    path: str | Path,
    gallery: str | Path,
    encoder: str | Path = _DEFAULT_ENCODER,
    top: int = 5,
    unknown_prior: float | None = None,
    device: str = "auto",
    false_accepts: float | None = None,
) -> Answer:
    """Who sings a recording.

    Args:
        path: an audio file of at least one second.
        gallery: a gallery file, see ``enrol``.
        encoder: the one of the gallery: ``"default"``, ``"fast"``, a checkpoint's path, or ``hub:owner/name``.
        top: candidates to return.
        unknown_prior: probability, before listening, that nobody enrolled sings, 0.5 unless given. If given without
            ``false_accepts``, whoever is likelier than somebody else is named; less finds more clones of enrolled
            singers and names more strangers.
        device: a torch device; ``"auto"`` takes a GPU if there is one.
        false_accepts: share of recordings of somebody who is not enrolled that may be given a name; 0.01 unless given.

    Raises:
        WhosingsError: a subclass says what cannot be used and why.
    """
    from whosings.embedding import TrackEmbedder
    from whosings.gallery import Gallery
    from whosings.identification import Identifier
    from whosings.opinion import SecondOpinion

    with Gallery(gallery) as opened:
        embedder = TrackEmbedder(encoder, second_opinion=SecondOpinion(), device=device)
        return Identifier(opened, embedder, unknown_prior, false_accepts=false_accepts)(path, top)


def enrol(
    singer: str,
    *paths: str | Path,
    gallery: str | Path,
    encoder: str | Path = _DEFAULT_ENCODER,
    device: str = "auto",
) -> int:
    """Add recordings of a singer to a gallery, which is made if need be; returns how many were new.

    Raises:
        WhosingsError: the first recording that cannot be used; those before it are enrolled.
    """
    from whosings.audio import probe
    from whosings.embedding import TrackEmbedder
    from whosings.files import content_hash
    from whosings.gallery import Gallery

    embedder = TrackEmbedder(encoder, device=device)
    added = 0
    with Gallery(gallery, embedder.fingerprint, embedder.name) as opened:
        for path in paths:
            probe(path)  # says what is wrong with a file that cannot be read
            sha256 = content_hash(path)
            if not opened.holds(singer, sha256):
                added += opened.add(singer, embedder(path), sha256, Path(path).absolute())
    return added


def verify(
    first: str | Path,
    second: str | Path,
    encoder: str | Path = _DEFAULT_ENCODER,
    device: str = "auto",
    false_accepts: float | None = None,
) -> Verification:
    """Whether two recordings have one singer.

    Args:
        false_accepts: share of pairs of different singers that may pass; 0.01 unless given.

    Raises:
        WhosingsError: a subclass says what cannot be used and why.
    """
    from whosings.embedding import TrackEmbedder
    from whosings.identification import Verifier

    return Verifier(TrackEmbedder(encoder, device=device), false_accepts=false_accepts)(first, second)


def embed(path: str | Path, encoder: str | Path = _DEFAULT_ENCODER, device: str = "auto") -> Embeddings:
    """Embeddings of a recording's sung segments: ``.vectors`` (n, D), ``.start_s`` (n,), ``.fingerprint``.

    Raises:
        WhosingsError: a subclass says what cannot be used and why.
    """
    from whosings.embedding import TrackEmbedder

    return TrackEmbedder(encoder, device=device)(path)


def vocal_activity(path: str | Path) -> Activity:
    """Where somebody sings: ``.start_s`` and ``.probability`` of each 3-second piece.

    Raises:
        AudioError: the file cannot be used.
    """
    from whosings.spool import Spool
    from whosings.vocals.detector import ActivityDetector

    return ActivityDetector().listen(Spool(path))
