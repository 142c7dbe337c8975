"""A stage for pipelines of Ray Data: rows with paths or locations in, rows of voices out.

``ray.data.read_parquet(...).map_batches(VoicesOfFiles, batch_size=8, num_gpus=0.25, concurrency=4)``. ``scan --engine
ray`` keeps a library besides, knows files again, and sets a file apart that ends its process. Ray Data tries such a row
again without end (2.60.0), and a pipeline has to leave it out itself.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from whosings.errors import WhosingsError
from whosings.library.scan import Ear
from whosings.parallel import take_one_thread
from whosings.storage import from_root

VOICES = pa.schema(
    [
        ("path", pa.string()),
        ("voice", pa.int32()),
        ("mean", pa.list_(pa.float32())),
        ("amount", pa.float64()),
        ("seconds", pa.float64()),
        ("duration_s", pa.float64()),
        ("vocal_s", pa.float64()),
        ("fingerprint", pa.string()),
        ("error", pa.string()),
    ]
)
"""A row a voice, the longest heard first. A file without any has one row without ``voice``; ``error`` may say why."""


class VoicesOfFiles:
    """Batches of rows with a column ``path`` -> tables of ``VOICES``; an actor opens the encoder once.

    Args:
        encoder, device: as everywhere.

    Raises:
        CheckpointError, ConfigError, MissingExtraError: the encoder cannot be opened.
    """

    def __init__(self, encoder: str = "default", device: str = "auto") -> None:
        take_one_thread()
        self._listener = Ear(encoder, device).open()

    def __call__(self, batch: dict[str, Any]) -> pa.Table:
        """Listen to a batch's files; one that cannot be used has a row that says why."""
        return pa.Table.from_pylist([row for path in batch["path"] for row in self._rows(str(path))], VOICES)

    def _rows(self, path: str) -> list[dict[str, Any]]:
        embedder = self._listener.embedder
        about: dict[str, Any] = {"path": path, "fingerprint": embedder.fingerprint}
        try:
            track = self._listener(embedder.cut(from_root(path)))
        except WhosingsError as error:
            return [about | {"error": str(error)}]
        about |= {"duration_s": track.duration_s, "vocal_s": track.vocal_s}
        voices = [
            about | {"voice": number, "mean": voice.mean, "amount": voice.amount, "seconds": voice.seconds}
            for number, voice in enumerate(track.voices)
        ]
        return voices or [about]
