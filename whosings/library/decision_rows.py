"""What a library keeps of people's decisions: tables, lines of the log, groups."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from whosings.answer import Outcome, Terms

TABLES = (
    """CREATE TABLE IF NOT EXISTS decisions (
        id INTEGER PRIMARY KEY, decided_at TEXT NOT NULL, who TEXT NOT NULL, decision TEXT NOT NULL, sha256 TEXT,
        number INTEGER, path TEXT NOT NULL, singer TEXT, said TEXT NOT NULL, digest TEXT NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS decisions_on_voices ON decisions (sha256, number)",
    # Numbers are not used again: an old one never means another group.
    "CREATE TABLE IF NOT EXISTS groups (id INTEGER PRIMARY KEY AUTOINCREMENT, kept INTEGER NOT NULL, name TEXT)",
    """CREATE TABLE IF NOT EXISTS group_voices (
        sha256 TEXT NOT NULL, number INTEGER NOT NULL, group_id INTEGER NOT NULL REFERENCES groups ON DELETE CASCADE,
        by_person INTEGER NOT NULL, PRIMARY KEY (sha256, number)
    )""",
    "CREATE INDEX IF NOT EXISTS voices_of_groups ON group_voices (group_id)",
    """CREATE TABLE IF NOT EXISTS group_strangers (
        sha256 TEXT NOT NULL, number INTEGER NOT NULL, group_id INTEGER NOT NULL REFERENCES groups ON DELETE CASCADE,
        PRIMARY KEY (sha256, number, group_id)
    )""",
    "CREATE TABLE IF NOT EXISTS same_sound (before TEXT PRIMARY KEY, now TEXT NOT NULL)",
)
"""Statements that make the tables of decisions and groups."""

_CLOSE_NATS = math.log(20)  # by which a runner-up is near, as the caveats of evidence have it


class Deed(StrEnum):
    """What somebody decided."""

    CONFIRM = "confirm"
    REJECT = "reject"
    SOMEBODY_ELSE = "somebody else"
    NOT_SUNG = "not sung"
    NAME = "name group"
    MERGE = "merge groups"
    SPLIT = "split group"


@dataclass(frozen=True, order=True)
class VoiceKey:
    """A voice of a recording, wherever its files are: the content's SHA-256, and which voice, counted from 0."""

    sha256: str
    number: int


@dataclass(frozen=True)
class Decision:
    """One line of the log.

    Attributes:
        who: a person's name, as given.
        voice: what it is about; None for a group.
        path: where the recording was by then, or the group in words.
        singer: the singer whom the person named, or the one who was confirmed or rejected.
        said: what the model said by then, as plain values: encoder, terms, evidence, probability.
        decided_at: UTC, as ISO 8601 has it.
    """

    who: str
    deed: Deed
    voice: VoiceKey | None
    path: str
    singer: str | None
    said: dict[str, Any]
    decided_at: str


@dataclass(frozen=True)
class KeptGroup:
    """A group as the library has it.

    Attributes:
        kept: a person named, merged or split it.
        voices: in order.
        by_person: those of them that a person looked at as this group's.
    """

    id: int
    kept: bool
    name: str | None
    voices: tuple[VoiceKey, ...]
    by_person: frozenset[VoiceKey]


@dataclass(frozen=True)
class FoundGroup:
    """A group as it was computed: the number of the group that it goes on, if any, and its voices."""

    id: int | None
    voices: tuple[VoiceKey, ...]


@dataclass(frozen=True)
class LikelyName:
    """Who a group may be.

    Attributes:
        source: ``"tags"`` or ``"gallery"``.
        share: of its recordings whose tags name the singer, or the probability that it is the enrolled singer.
    """

    name: str
    source: str
    share: float


@dataclass(frozen=True)
class Said:
    """What the model says of a voice.

    Attributes:
        encoder: fingerprint of the encoder that listened.
        singer: the likeliest enrolled singer.
        probability: that it is this singer.
        nats: log-odds of that singer against somebody who is not enrolled, at even prior odds.
        runner_up, runner_up_nats: the next one; None where nobody else is enrolled.
        terms: when a name is given.
        singers: how many are enrolled.
    """

    encoder: str
    singer: str
    outcome: Outcome
    probability: float
    nats: float
    runner_up: str | None
    runner_up_nats: float | None
    terms: Terms
    singers: int

    @property
    def close(self) -> bool:
        """Whether a voice is named while the runner-up is nearly as likely."""
        near = self.runner_up_nats is not None and self.nats - self.runner_up_nats < _CLOSE_NATS
        return near and self.outcome is Outcome.NAMED


def plain_keys(keys: Sequence[VoiceKey]) -> list[dict[str, Any]]:
    """Voices as plain values."""
    return [asdict(key) for key in keys]


def line_digest(before: str, line: Sequence[Any]) -> str:
    """What signs a line of the log, given the digest of the line before."""
    return hashlib.sha256(json.dumps([before, *line], ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()
