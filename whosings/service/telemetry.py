"""What a service tells of itself: metrics for Prometheus, and a line a request without names and contents."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TextIO

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from whosings.safe_text import printable

_PROBES = ("/healthz", "/readyz", "/metrics")  # asked every few seconds
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


@dataclass(frozen=True)
class Line:
    """One request, as the log has it.

    Attributes:
        route: the form of its path; what it holds of names is not kept.
        caller: name of the token.
        bytes: of the body that came.
        error: kind of problem, if there was one.
    """

    request_id: str
    method: str
    route: str
    status: int
    seconds: float
    bytes: int
    caller: str
    error: str = ""


class Telemetry:
    """Metrics and log of one service.

    Args:
        log: where lines go: JSON, or plain text on a terminal.
    """

    def __init__(self, log: TextIO) -> None:
        self._log = log
        self._registry = CollectorRegistry()
        for kind in (ProcessCollector, PlatformCollector, GCCollector):
            kind(registry=self._registry)
        self._requests = Counter(
            "whosings_requests", "Requests that were answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "whosings_request_seconds",
            "From the headers to the end of the answer.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._heard = Counter(
            "whosings_heard_seconds", "Seconds of recordings that were listened to.", registry=self._registry
        )

    def gauge(self, name: str, about: str, read: Callable[[], dict[str, float]], label: str = "") -> None:
        """Add a number that is read when it is asked for.

        Args:
            read: the number by label; under an empty one where there is no label.
        """
        self._registry.register(_Gauge(name, about, read, label))

    def request(self, line: Line) -> None:
        """Count a request, and write its line."""
        self._requests.labels(line.method, line.route, str(line.status)).inc()
        self._seconds.labels(line.method, line.route).observe(line.seconds)
        if line.route not in _PROBES:
            self.write("request", **asdict(line))

    def heard(self, seconds: float) -> None:
        """Count a recording that was listened to."""
        self._heard.inc(seconds)

    def write(self, event: str, **fields: object) -> None:
        """Write a line into the log."""
        if self._log.isatty():
            words = " ".join(f"{key}={value}" for key, value in fields.items())
            text = printable(f"{time.strftime('%H:%M:%S')} {event} {words}")
        else:
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            text = json.dumps({"time": at, "event": event, **fields}, default=str)
        self._log.write(text + "\n")
        self._log.flush()

    def metrics(self) -> bytes:
        """All numbers as Prometheus reads them."""
        return generate_latest(self._registry)


class LogLines(logging.Handler):
    """What libraries warn of, as lines of the log."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__(logging.WARNING)
        self._telemetry = telemetry

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        fault = record.exc_info[1] if record.exc_info else None
        where = [] if fault is None else traceback.format_exception(fault)[-2:]
        self._telemetry.write(
            "warning", of=record.name, level=record.levelname, message=record.getMessage(), where=where
        )


class _Gauge(Collector):
    def __init__(self, name: str, about: str, read: Callable[[], dict[str, float]], label: str) -> None:
        self._name, self._about, self._read, self._label = name, about, read, label

    def collect(self) -> list[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._about, labels=[self._label] if self._label else [])
        for key, value in self._read().items():
            family.add_metric([key] if self._label else [], value)
        return [family]
