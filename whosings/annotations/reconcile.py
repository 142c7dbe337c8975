"""All sources together: which tracks have exactly one lead singer, who that is, and why each track is kept or dropped.

Conventions
-----------
- Kept: every source that says who sings says it is this one person. Kept apart: a band, a duet, a feature, with
  whoever may be heard. Dropped: nobody sings, nobody knows, or the sources contradict each other.
- One source that names a second voice is enough to keep a track apart: a wrong "alone" would teach one voice as
  another's.
- The catalogue's own tags may only add doubt (a "feat." in a title), never vouch for a singer.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations

import msgspec

from whosings.annotations.artists import ArtistBook, Singer
from whosings.annotations.matching import Match, TrackIndex
from whosings.annotations.names import normalise, similarity
from whosings.annotations.records import ArtistKey, CreditRole, Source
from whosings.annotations.verdict import ALIKE, SEVERAL, Reader, Reason, Statement


class DecisionOutcome(StrEnum):
    """What becomes of a track."""

    KEPT = "kept"
    APART = "apart"
    DROPPED = "dropped"


def outcome_of(reason: Reason) -> DecisionOutcome:
    """What becomes of a track for this reason."""
    return (
        DecisionOutcome.KEPT
        if reason is Reason.SOLO
        else DecisionOutcome.APART
        if reason in SEVERAL
        else DecisionOutcome.DROPPED
    )


@dataclass(frozen=True)
class ReconcileRules:
    """How strict to be.

    Attributes:
        min_sources: sources that must name the singer alone.
        accept_unknown_kind: keep artists of whom no source says whether they are one person (with Deezer alone: all).
    """

    min_sources: int = 1
    accept_unknown_kind: bool = False


@dataclass(frozen=True)
class Decision:
    """What becomes of one track, and why.

    Attributes:
        track_id: the catalogue's, or ``source:id`` of a source's own track.
        explanation: one sentence for people.
        singers: the lead singer of a kept track; everyone who may be heard on one kept apart.
        evidence: the records it rests on, each with how it was matched.
        release_date: the earliest that any source gives.
    """

    track_id: str
    outcome: DecisionOutcome
    reason: Reason
    explanation: str
    singers: tuple[Singer, ...] = ()
    evidence: tuple[str, ...] = ()
    title: str = ""
    isrcs: tuple[str, ...] = ()
    musicbrainz_id: str | None = None
    release_date: str | None = None


def reconcile(
    index: TrackIndex, book: ArtistBook, rules: ReconcileRules | None = None, of: Source = Source.CATALOGUE
) -> Iterator[Decision]:
    """Decide on every track of a source.

    Runs over the tracks twice: first to learn which artists are the same because recordings say so, then to decide.
    In between, their matches lie in a file without a name.

    Args:
        index: track records of all sources.
        book: artists of all sources; what is learned is added to it.
        rules: how strict to be.
        of: the source whose tracks are decided on.
    """
    evidence: Counter[tuple[ArtistKey, ArtistKey]] = Counter()
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(tuple[Match, ...]).decode
    with tempfile.TemporaryFile(prefix="whosings-matches-") as found:
        for track in index.of(of):
            matches = index.matches(track)
            evidence.update(_named_alike(matches))
            found.write(encode(matches) + b"\n")
        book.learn(evidence)
        found.seek(0)
        for line in found:
            yield decide(decode(line), book, rules or ReconcileRules())


def decide(matches: Sequence[Match], book: ArtistBook, rules: ReconcileRules) -> Decision:
    """Decide on the track whose records these are; its own record comes first."""
    track = matches[0].record
    records = [match.record for match in matches]
    reason, explanation, singers = _combine(_statements(matches, book, rules), rules)
    dates = sorted(record.release_date for record in records if record.release_date)
    mbids = [record.musicbrainz_id for record in records if record.musicbrainz_id]
    return Decision(
        track_id=track.source_id if track.source is Source.CATALOGUE else str(track),
        outcome=outcome_of(reason),
        reason=reason,
        explanation=explanation,
        singers=singers,
        evidence=tuple(str(match) for match in matches if match.record.source is not Source.CATALOGUE),
        title=track.title,
        isrcs=tuple(dict.fromkeys(isrc for record in records for isrc in record.isrcs)),
        musicbrainz_id=mbids[0] if mbids else None,
        release_date=dates[0] if dates else None,
    )


def _statements(matches: Sequence[Match], book: ArtistBook, rules: ReconcileRules) -> list[Statement]:
    reader = Reader(book, matches)
    statements = []
    for match in matches:
        said = reader.read(match.record)
        if said.reason is Reason.UNKNOWN_KIND and rules.accept_unknown_kind:
            said = replace(said, reason=Reason.SOLO)
        if match.record.source is not Source.CATALOGUE or said.reason in (Reason.FEATURE, Reason.INSTRUMENTAL):
            statements.append(said)
    return statements


def _combine(statements: Sequence[Statement], rules: ReconcileRules) -> tuple[Reason, str, tuple[Singer, ...]]:
    def having(*reasons: Reason) -> list[Statement]:
        return [said for said in statements if said.reason in reasons]

    if all(said.record.source is Source.CATALOGUE for said in statements) and not having(Reason.INSTRUMENTAL):
        return Reason.NO_SOURCE, "No source has this track.", ()
    if nobody := having(Reason.INSTRUMENTAL):
        return Reason.INSTRUMENTAL, f"Nobody sings: {_who(nobody)} calls it an instrumental or karaoke version.", ()
    alone = having(Reason.SOLO)
    if several := having(*SEVERAL):
        return _several(several, alone)
    if doubtful := having(Reason.KIND_CONFLICT):
        names = doubtful[0].names
        return Reason.KIND_CONFLICT, f"The sources disagree whether {names} is one person or a group.", ()
    if len({said.singers[0].singer_id for said in alone}) > 1:
        return Reason.CONFLICT, f"The sources name different singers: {_each(alone)}.", ()
    if (silent := having(Reason.NOT_A_SINGER)) and not any(said.explicit for said in alone):
        return Reason.NOT_A_SINGER, f"{silent[0].names} is known for other things than singing.", ()
    if alone:
        sources = {said.record.source for said in alone}
        if len(sources) < rules.min_sources:
            asked = f"{rules.min_sources} are asked for"
            return Reason.TOO_FEW_SOURCES, f"Only {_who(alone)} names {alone[0].names} alone, and {asked}.", ()
        return Reason.SOLO, f"{alone[0].names} sings alone, says {_who(alone)}.", alone[0].singers
    if unknown := having(Reason.UNKNOWN_KIND):
        return Reason.UNKNOWN_KIND, f"No source says whether {unknown[0].names} is one person.", ()
    if nameless := having(Reason.NAME_ONLY):
        return Reason.NAME_ONLY, f"{nameless[0].names} is only a name: several artists may bear it.", ()
    return Reason.NO_ARTIST, f"No artist is named by {_who(statements)}.", ()


def _several(several: Sequence[Statement], alone: Sequence[Statement]) -> tuple[Reason, str, tuple[Singer, ...]]:
    reason = min((said.reason for said in several), key=SEVERAL.index)
    said_so = [said for said in several if said.reason is reason]
    heard = {singer.singer_id: singer for said in (*said_so, *several) for singer in said.singers}
    for said in alone:
        # A band whose singers nobody lists contradicts no one; a list without the singer does.
        if heard and said.singers[0].singer_id not in heard:
            different = _each([*said_so, said])
            return Reason.CONFLICT, f"The sources name different singers: {different}.", ()
    heard.update((singer.singer_id, singer) for said in alone for singer in said.singers)
    names = ", ".join(singer.name for singer in heard.values()) or "singers nobody names"
    but = f", though {_who(alone)} names {alone[0].names} alone" if alone else ""
    what = {
        Reason.FEATURE: "A guest is featured",
        Reason.DUET: "Several artists share it",
        Reason.OTHER_VOICE: "Someone other than the main artist sings",
        Reason.BAND: "A group's track",
    }[reason]
    return reason, f"{what}, says {_who(said_so)}: {names}{but}.", tuple(heard.values())


def _who(statements: Sequence[Statement]) -> str:
    return " and ".join(dict.fromkeys(str(said.record.source) for said in statements)) or "any source"


def _each(statements: Sequence[Statement]) -> str:
    return ", ".join(dict.fromkeys(f"{said.record.source} says {said.names}" for said in statements))


def _named_alike(matches: Sequence[Match]) -> Iterator[tuple[ArtistKey, ArtistKey]]:
    """Pairs of artists of two sources whom the records of one track name as its only main artist, by one name."""
    alone: dict[Source, tuple[str, ArtistKey]] = {}
    for match in matches:
        mains = [credit for credit in match.record.credits if credit.role is CreditRole.MAIN]
        source = match.record.source
        if len(mains) == 1 and mains[0].artist_id and source is not Source.CATALOGUE and source not in alone:
            alone[source] = (normalise(mains[0].name), ArtistKey(source, mains[0].artist_id))
    for (name, one), (other_name, other) in combinations([alone[source] for source in sorted(alone)], 2):
        if similarity(name, other_name) >= ALIKE:
            yield one, other
