"""What a scan tells Prometheus while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from whosings.errors import ConfigError, MissingExtraError


class Counted(Protocol):
    """What is counted of a file that was scanned; ``scan.Scanned`` is one."""

    @property
    def state(self) -> str:
        """What the scan did with it."""
        ...


@dataclass(frozen=True)
class ScanMetrics:
    """Counters of one scan.

    Attributes:
        count: is told of each file, and of the seconds and sung seconds of a recording that was heard now.
    """

    count: Callable[[Counted, float, float], None]


@contextmanager
def serve_metrics(port: int, running: Callable[[], int], processes: Callable[[], int]) -> Iterator[ScanMetrics]:
    """Answer Prometheus at ``http://HOST:PORT/metrics`` as long as the block runs.

    Args:
        running: files that are being read now.
        processes: how many work.

    Raises:
        MissingExtraError: the package prometheus-client is not installed.
        ConfigError: nobody can listen at the port.
    """
    MissingExtraError.require("prometheus_client", "metrics", "scale")
    from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

    registry = CollectorRegistry()
    files = Counter("whosings_scan_files", "Files that were looked at.", ("state",), registry=registry)
    heard = Counter("whosings_scan_heard_seconds", "Seconds of recordings that were listened to.", registry=registry)
    sung = Counter("whosings_scan_sung_seconds", "Seconds of singing in them.", registry=registry)
    last = Gauge("whosings_scan_last_result_timestamp_seconds", "When the last file was done.", registry=registry)
    for name, about, read in (
        ("whosings_scan_running_files", "Files that are being read.", running),
        ("whosings_scan_processes", "Processes that work.", processes),
    ):
        Gauge(name, about, registry=registry).set_function(read)

    def count(scanned: Counted, duration_s: float, vocal_s: float) -> None:
        files.labels(str(scanned.state)).inc()
        heard.inc(duration_s)
        sung.inc(vocal_s)
        last.set(time.time())

    try:
        server, thread = start_http_server(port, registry=registry)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"port {port}", f"cannot be listened at ({error})", "name another --metrics port") from error
    try:
        yield ScanMetrics(count)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
