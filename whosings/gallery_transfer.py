"""Galleries out to one file that anybody can read, and in again: into a new gallery, or beside those enrolled."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from whosings.enrolled import TakenIn
from whosings.errors import GalleryError
from whosings.files import atomic
from whosings.gallery import Gallery
from whosings.gallery_lines import Header, LineReader, LineWriter


@dataclass(frozen=True)
class Exported:
    """How much was exported."""

    singers: int
    recordings: int


def export_gallery(gallery: Gallery, path: str | Path) -> Exported:
    """Write everyone with all recordings to a file, whole or not at all.

    A fitted classifier and measured rates stay behind.

    Raises:
        GalleryError: the gallery is damaged.
        OSError: the file cannot be written.
    """
    header = Header(fingerprint=gallery.fingerprint, encoder=gallery.encoder, segment_s=gallery.segment_s)
    with atomic(path) as beside, beside.open("wb") as file, closing(gallery.whole_singers()) as singers:
        writer = LineWriter(file, header)
        for whole in singers:
            writer.write(whole)
        writer.end()
    return Exported(writer.singers, writer.recordings)


def import_gallery(path: str | Path, gallery: str | Path) -> TakenIn:
    """Enrol everyone whom an exported file holds, all of them or, after an error, nobody.

    Names that differ only in case, blanks or Unicode form are one singer, spelt as the gallery does. Content that is
    enrolled for the singer already stays as it is.

    Args:
        gallery: the file; made when it does not exist.

    Raises:
        GalleryError: the file cannot be read, is no exported gallery, or is damaged; or its embeddings are of another
            encoder than the gallery's.
    """
    path, gallery = Path(path), Path(gallery)
    if path.exists() and not path.is_file():  # a pipe or a device would never end
        raise GalleryError(path, "is not a file", "name an exported gallery")
    try:
        file = path.open("rb")
    except OSError as error:
        raise GalleryError(path, f"cannot be read ({error.strerror})", "name an exported gallery") from error
    with file:
        reader = LineReader(file, path)
        if gallery.exists():
            return _take_in(reader, gallery)
        with atomic(gallery) as beside:  # no empty gallery is left where nothing could be read
            return _take_in(reader, beside)


def _take_in(reader: LineReader, gallery: Path) -> TakenIn:
    header = reader.header
    with Gallery(gallery, header.fingerprint, header.encoder) as opened, closing(reader.singers()) as singers:
        return opened.take_in(singers, header.segment_s)
