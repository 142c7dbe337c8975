"""Who sings? Singer identification for real recordings and for cloned voices.

>>> import whosings
>>> answer = whosings.identify("song.mp3", gallery="my-singers")    # doctest: +SKIP
>>> answer.verdict, answer.top[0].singer, answer.notice              # doctest: +SKIP

The functions here open what they need and close it again; for many files use the classes they are made of:
``whosings.embedding.TrackEmbedder``, ``whosings.gallery.Gallery``, ``whosings.identification.Identifier``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing the package stays fast; each function imports what it uses
    from whosings.embedding import Embeddings
    from whosings.identification import Answer, Verification
    from whosings.vocals.activity import Activity

__version__ = "0.2.0"
__all__ = ["__version__", "embed", "enrol", "identify", "verify", "vocal_activity"]

_DEFAULT_ENCODER = "default"


def identify(
    path: str | Path,
    gallery: str | Path,
    encoder: str | Path = _DEFAULT_ENCODER,
    top: int = 5,
    unknown_prior: float = 0.5,
) -> Answer:
    """Who sings a recording.

    Args:
        path: an audio file of at least one second.
        gallery: a gallery file, see ``enrol``.
        encoder: the one of the gallery: ``"default"``, ``"fast"``, a checkpoint's path, or ``hub:owner/name``.
        top: candidates to return.
        unknown_prior: probability, before listening, that nobody enrolled sings; less finds more clones of enrolled
            singers and names more strangers.

    Raises:
        WhosingsError: a subclass says what cannot be used and why.
    """
    from whosings.embedding import TrackEmbedder
    from whosings.gallery import Gallery
    from whosings.identification import Identifier
    from whosings.opinion import SecondOpinion

    with Gallery(gallery) as opened:
        return Identifier(opened, TrackEmbedder(encoder, second_opinion=SecondOpinion()), unknown_prior)(path, top)


def enrol(singer: str, *paths: str | Path, gallery: str | Path, encoder: str | Path = _DEFAULT_ENCODER) -> int:
    """Add recordings of a singer to a gallery, which is made if need be; returns how many were new.

    Raises:
        WhosingsError: the first recording that cannot be used; those before it are enrolled.
    """
    from whosings.audio import probe
    from whosings.embedding import TrackEmbedder
    from whosings.files import content_hash
    from whosings.gallery import Gallery

    embedder = TrackEmbedder(encoder)
    added = 0
    with Gallery(gallery, embedder.checkpoint.fingerprint, embedder.checkpoint.name) as opened:
        for path in paths:
            probe(path)  # says what is wrong with a file that cannot be read
            sha256 = content_hash(path)
            if not opened.holds(singer, sha256):
                added += opened.add(singer, embedder(path), sha256)
    return added


def verify(first: str | Path, second: str | Path, encoder: str | Path = _DEFAULT_ENCODER) -> Verification:
    """Whether two recordings have one singer.

    Raises:
        WhosingsError: a subclass says what cannot be used and why.
    """
    from whosings.embedding import TrackEmbedder
    from whosings.identification import Verifier

    return Verifier(TrackEmbedder(encoder))(first, second)


def embed(path: str | Path, encoder: str | Path = _DEFAULT_ENCODER) -> Embeddings:
    """Embeddings of a recording's sung segments: ``.vectors`` (n, D), ``.start_s`` (n,), ``.fingerprint``.

    Raises:
        WhosingsError: a subclass says what cannot be used and why.
    """
    from whosings.embedding import TrackEmbedder

    return TrackEmbedder(encoder)(path)


def vocal_activity(path: str | Path) -> Activity:
    """Where somebody sings: ``.start_s`` and ``.probability`` of each 3-second piece.

    Raises:
        AudioError: the file cannot be used.
    """
    from whosings import audio
    from whosings.vocals.detector import ActivityDetector

    return ActivityDetector()(audio.load(path).samples)
