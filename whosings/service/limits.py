"""What a service allows a request to cost, and where it keeps things."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from whosings.audio import MAX_DURATION_S
from whosings.settings import Strict


class Limits(Strict):
    """Limits of a service; ``whosings serve --set NAME=VALUE`` changes one.

    Attributes:
        upload_bytes: most bytes of a request's body.
        upload_s: most seconds in which a body has to arrive.
        idle_s: most seconds between two pieces of a body, and until the headers of a request are there.
        duration_s: longest recording, in seconds.
        answer_at_once_s: longest recording that is answered in the request itself; a longer one becomes a job.
        decode_s: most seconds in which a worker has to decode a file.
        decode_bytes: most memory (address space) of a worker that decodes.
        decoders: processes that decode.
        listeners: recordings that are listened to at once, each by one thread; 0 takes as many as there are cores.
        waiting: requests with recordings that are taken at once, those being worked on included.
        connections: open connections; more are told to come again.
        jobs_waiting: jobs that may wait, of everybody together.
        jobs_each: jobs of one token that may wait or run.
        keep_results_s: after which a job that is done is forgotten.
    """

    upload_bytes: int = Field(500_000_000, gt=0)
    upload_s: float = Field(600.0, gt=0)
    idle_s: float = Field(20.0, gt=0)
    duration_s: float = Field(MAX_DURATION_S, gt=0, le=MAX_DURATION_S)
    answer_at_once_s: float = Field(600.0, gt=0)
    decode_s: float = Field(120.0, gt=0)
    decode_bytes: int = Field(2 << 30, ge=1 << 29)
    decoders: int = Field(2, gt=0)
    listeners: int = Field(0, ge=0)
    waiting: int = Field(128, gt=0)
    connections: int = Field(1000, gt=0)
    jobs_waiting: int = Field(100, gt=0)
    jobs_each: int = Field(20, gt=0)
    keep_results_s: float = Field(24 * 3600.0, gt=0)


@dataclass(frozen=True)
class Places:
    """Where a service keeps things; no answer names them.

    Attributes:
        gallery, library: files; made when they do not exist.
        data: a folder of the service's own: jobs, and recordings that somebody asked to keep.
    """

    gallery: Path
    library: Path
    data: Path

    @property
    def jobs(self) -> Path:
        """The file of jobs."""
        return self.data / "jobs.sqlite"

    @property
    def work(self) -> Path:
        """Uploads that are being worked on; empty when the service starts."""
        return self.data / "work"

    @property
    def waiting(self) -> Path:
        """Uploads of jobs that are not done."""
        return self.data / "waiting"

    @property
    def recordings(self) -> Path:
        """Recordings that somebody asked to keep, each in a folder of its own."""
        return self.data / "recordings"

    def kept(self, sha256: str, name: str) -> Path:
        """Where a recording is kept, or would be.

        Args:
            name: as ``safe_name`` gives it.
        """
        return self.recordings.absolute() / sha256 / name

    def make(self) -> None:
        """Make the folders, and remove what a killed service left of unfinished requests.

        Raises:
            OSError: the folder cannot be written.
        """
        for folder in (self.data, self.work, self.waiting, self.recordings):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.empty_work()

    def empty_work(self) -> None:
        """Remove what is left of unfinished requests; none may be worked on."""
        for left in self.work.iterdir():
            left.unlink(missing_ok=True)

    def hidden(self, text: str, others: Iterable[str] = ()) -> str:
        """A sentence with names in the place of this machine's paths.

        Args:
            others: paths of which the file's name alone may be told.
        """
        for path, name in ((self.gallery, "the gallery"), (self.library, "the library"), (self.jobs, "the jobs")):
            for form in {str(path.absolute()), str(path)}:
                text = re.sub(rf"(?<![\w./-]){re.escape(form)}(?![\w/-])", name, text)
        for other in sorted(filter(None, others), key=len, reverse=True):
            text = text.replace(other, Path(other).name)
        for folder in (self.data.absolute(), self.gallery.absolute().parent, self.library.absolute().parent):
            if folder != Path(folder.anchor):
                text = re.sub(rf"{re.escape(str(folder))}/(?:[^\s;:,]*/)*", "", text)
        return text
