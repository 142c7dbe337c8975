"""Made dumps in the form and of the size of MusicBrainz' and Discogs', with their quirks, and somebody's catalogue.

Nothing in them is real. One seed makes the same bytes again. Everything is a function of its number, so that memory
stays flat: lines go to disk as they are made. ``python benchmarks/made_dumps.py FOLDER --recordings 4000000`` writes

- ``recording.tar.xz`` and ``artist.tar.xz``, one object a line in ``mbdump/``, and the same lines uncompressed,
- ``releases.xml.gz`` and ``artists.xml.gz`` in Discogs' form, about a release for every twelve recordings,
- ``catalogue.csv``, the tags of somebody's tracks.

xz is at its fastest level (0) and gzip at 1. Real dumps are packed harder: their files are smaller.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any, TextIO

_MASK = (1 << 64) - 1
_SCRIPTS = (
    "ёжзийкл мнопрст уфхцчшщ аеиоуыэюя",
    "αβγδεζηθικ λμνξοπρσ τυφχψω άέήίόύώ",
    "あいうえおかきくけこさしすせそたちつてと",
    "国人山水火風花月星空海歌声心愛夢",
    "가나다라마바사아자차카타파하",
    "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "אבגדהוזחטיכלמנסעפצקרשת",
)
_ACCENTS = "áàâäãåçéèêëíîïñóôöõøúûüýžšœæßłđ"
_VERSIONS = (
    " (live)", " - Live at the Pier", " (Remastered 2009)", " [Remix]", " (acoustic version)", " (demo)",
    " (instrumental)", " - Radio Edit", " (Karaoke Version)", " (Take 2)", " (mono)", ", Part 2: “The Sea”",
)  # fmt: skip
_JOINS = (" & ", ", ", " feat. ", " vs. ", " ft. ", " featuring ", " + ", " x ", "", " with ")
_ROLES = (
    "Producer", "Written-By", "Lead Vocals", "Backing Vocals", "Vocals [Additional]", "Guitar, Vocals",
    "Mixed By, Mastered By [At The Mill]", "Featuring", "Remix", "Voice Actor", "Vocals [Spoken Word]",
    "Artwork By [Design, Layout], Photography By", "Soprano Vocals", "Drums, Percussion, Harmony Vocals",
)  # fmt: skip
# MusicBrainz' artists that are nobody, under ids of their own.
_NOBODY = (
    ("89ad4ac3-39f7-470e-963a-56509c546377", "Various Artists"),
    ("125ec42a-7229-4250-afc5-e057484327fe", "[unknown]"),
)
_TRACKS = 12  # of an album


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recordings", type=int, default=40_000)
    parser.add_argument("--artists", type=int, default=26_000)
    parser.add_argument("--tracks", type=int, default=4_000, help="of the catalogue")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    made = make(given.folder, World(given.recordings, given.artists, given.seed), given.tracks)
    for path in made.paths:
        print(f"{path.stat().st_size / 1e6:10.1f} MB  {path}")


@dataclass(frozen=True)
class Dumps:
    """Where made dumps lie; ``*_lines`` are the lines of MusicBrainz' archives, uncompressed."""

    recordings: Path
    artists: Path
    recording_lines: Path
    artist_lines: Path
    discogs_releases: Path
    discogs_artists: Path
    catalogue: Path

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return tuple(vars(self).values())


def paths_in(folder: Path) -> Dumps:
    """Where ``make`` puts them."""
    return Dumps(
        folder / "recording.tar.xz",
        folder / "artist.tar.xz",
        folder / "recording",
        folder / "artist",
        folder / "releases.xml.gz",
        folder / "artists.xml.gz",
        folder / "catalogue.csv",
    )


def make(folder: Path, world: World, tracks: int) -> Dumps:
    """Write all dumps, and a catalogue of so many tracks."""
    folder.mkdir(parents=True, exist_ok=True)
    made = paths_in(folder)
    _write_lines(made.recording_lines, map(world.recording, range(world.recordings)))
    _write_lines(made.artist_lines, map(world.artist, range(world.artists)))
    _pack(made.recording_lines, made.recordings)
    _pack(made.artist_lines, made.artists)
    _write_xml(made.discogs_releases, "releases", map(world.release, range(-(-world.recordings // _TRACKS))))
    _write_xml(made.discogs_artists, "artists", map(world.discogs_artist, range(1, world.artists)))
    with made.catalogue.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("track_id", "title", "artist", "isrc", "duration_s", "musicbrainz_id"))
        writer.writerows(map(world.tags, range(tracks)))
    return made


@dataclass(frozen=True)
class World:
    """Artists and recordings by number; which artist made which album, who is linked to whom."""

    recordings: int
    artists: int
    seed: int = 0

    # ---------------------------------------------------------------- numbers

    def dice(self, *numbers: int) -> int:
        """64 bits that the seed and the numbers decide alone (the finaliser of SplitMix64)."""
        state = self.seed * 0x9E3779B97F4A7C15
        for number in numbers:
            state = (state + number * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & _MASK
            state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
            state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
            state ^= state >> 31
        return state

    def uuid(self, kind: int, number: int) -> str:
        """An id in MusicBrainz' form."""
        digits = f"{self.dice(kind, number):016x}{self.dice(kind, number, 1):016x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def album_artist(self, album: int) -> int:
        """Few artists make many albums."""
        share = self.dice(10, album) / 2**64
        return int(self.artists * share**2)

    # ---------------------------------------------------------------- names

    def word(self, key: int) -> str:
        """One of some thousand words; one in twenty has accents, one in twenty-five another script."""
        return self._word(key % 12_000)

    @lru_cache(maxsize=12_000)  # noqa: B019 (one world a process)
    def _word(self, key: int) -> str:
        bits = self.dice(20, key)
        if key % 25 == 0:
            letters = _SCRIPTS[bits % len(_SCRIPTS)].replace(" ", "")
            return "".join(letters[(bits >> shift) % len(letters)] for shift in range(8, 8 + 6 * (2 + bits % 4), 6))
        text = "".join(
            "bcdfghklmnprstvwyz"[(bits >> shift) % 18] + "aeiouaeioy"[(bits >> (shift + 5)) % 10]
            for shift in range(4, 4 + 10 * (1 + bits % 4), 10)
        )
        return text + _ACCENTS[(bits >> 50) % len(_ACCENTS)] if key % 20 == 1 else text

    @lru_cache(maxsize=65_536)  # noqa: B019
    def name(self, artist: int) -> str:
        """An artist's name; about one in nine has a namesake."""
        bits = self.dice(21, artist - artist % 9 if artist % 9 == 4 else artist)
        words = [self.word(bits >> 8), self.word(bits >> 24)]
        match bits % 16:
            case 0:
                return f"The {words[0].title()}s"
            case 1:
                return f"{words[0].title()} & {words[1].title()}"
            case 2:
                return f"{words[0].title()} O’{words[1].title()}"
            case 3:
                return words[0].upper() + "!"
            case 4:
                return f"DJ {words[1]}"
        return " ".join(words).title()

    def title(self, recording: int) -> str:
        """A song's title; one in eight says which version it is."""
        bits = self.dice(22, recording)
        words = " ".join(self.word(bits >> (6 + 11 * place)) for place in range(1 + bits % 4)).capitalize()
        return words + _VERSIONS[(bits >> 52) % len(_VERSIONS)] if bits % 8 == 7 else words

    def guests(self, recording: int) -> list[int]:
        """Whoever is credited beside the album's artist."""
        bits = self.dice(23, recording)
        count = 0 if bits % 5 else 1 + (bits >> 8) % 3
        return [self.dice(24, recording, place) % self.artists for place in range(count)]

    def isrc(self, recording: int) -> str:
        """A code of the right form."""
        return f"{['GB', 'US', 'DE', 'FR', 'JP', 'BR', 'SE', 'QM'][recording % 8]}ABC{recording % 10**7:07d}"

    def length_ms(self, recording: int) -> int:
        """Two to six minutes."""
        return 120_000 + self.dice(25, recording) % 240_000

    # ---------------------------------------------------------------- MusicBrainz

    @lru_cache(maxsize=65_536)  # noqa: B019
    def _brief(self, artist: int) -> dict[str, Any]:
        name = self.name(artist)
        return {
            "id": self.uuid(1, artist), "name": name, "sort-name": ", ".join(reversed(name.split(" ", 1))),
            "disambiguation": "", "type": self._kind(artist), "type-id": None, "country": None,
        }  # fmt: skip

    def _kind(self, artist: int) -> str | None:
        kinds = (
            "Person",
            "Person",
            "Person",
            "Group",
            "Group",
            None,
            "Person",
            "Character",
            "Orchestra",
            "Choir",
            None,
        )
        return kinds[self.dice(26, artist) % len(kinds)]

    def recording(self, number: int) -> dict[str, Any]:
        """A line of ``mbdump/recording``."""
        bits = self.dice(30, number)
        credits = []
        if bits % 97 == 0:
            mbid, name = _NOBODY[bits % 2]
            nobody = {"id": mbid, "name": name, "sort-name": name, "disambiguation": "add no more", "type": "Other"}
            credits.append({"name": name, "joinphrase": "", "artist": nobody})
        else:
            named = [self.album_artist(number // _TRACKS), *self.guests(number)]
            for place, artist in enumerate(named):
                brief = self._brief(artist)
                last = place == len(named) - 1
                credited = brief["name"].upper() if (bits >> place) % 32 == 3 else brief["name"]
                join = "" if last else _JOINS[(bits >> (8 + 4 * place)) % len(_JOINS)]
                credits.append({"name": credited, "joinphrase": join, "artist": brief})
        relations: list[dict[str, Any]] = []
        if bits % 4 == 0:
            for place in range(1 + (bits >> 20) % 6):
                relations.append(self._relation(number, place))
        if bits % 3 == 0:
            work = {"id": self.uuid(4, number), "title": self.title(number), "language": None, "type": "Song"}
            relations.append(
                {"type": "performance", "type-id": self.uuid(5, 1), "target-type": "work", "direction": "forward",
                 "attributes": ["live"] if bits % 6 == 0 else [], "attribute-values": {}, "attribute-ids": {},
                 "begin": None, "end": None, "ended": False, "work": work}
            )  # fmt: skip
        tree: dict[str, Any] = {
            "id": self.uuid(2, number), "title": self.title(number), "length": self.length_ms(number),
            "video": bits % 50 == 0, "disambiguation": "live, 1987‐05‐03" if bits % 40 == 0 else "",
            "artist-credit": credits, "isrcs": [self.isrc(number)] if bits % 5 < 3 else [], "relations": relations,
            "first-release-date": ("1987", "2003-05", "2011-09-27", "", None)[(bits >> 30) % 5],
            "tags": [], "genres": [], "aliases": [], "annotation": None, "rating": {"value": None, "votes-count": 0},
        }  # fmt: skip
        if bits % 41 == 0:
            tree["length"] = None
        if bits % 43 == 0:
            tree["isrcs"] += [self.isrc(number + 7), "not an ISRC"]
        if bits % 5_003 == 0:  # some lines are very long
            tree["annotation"] = f'{self.title(number)} \n\t"\\ {self.name(number % self.artists)} ' * 8_000
        if bits % 47 == 0:
            del tree["relations"], tree["first-release-date"]
        return tree

    def _relation(self, number: int, place: int) -> dict[str, Any]:
        bits = self.dice(31, number, place)
        kind, attributes = (
            ("vocal", ["lead vocals"]), ("vocal", ["background vocals"]), ("vocal", ["guest"]), ("vocal", []),
            ("instrument", ["guitar family", "electric guitar"]), ("producer", []), ("remixer", []), ("mix", []),
        )[bits % 8]  # fmt: skip
        artist = self.album_artist(number // _TRACKS) if bits & 1024 else (bits >> 12) % self.artists
        return {
            "type": kind, "type-id": self.uuid(5, bits % 8), "target-type": "artist", "direction": "backward",
            "attributes": attributes, "attribute-ids": {text: self.uuid(6, len(text)) for text in attributes},
            "attribute-values": {}, "begin": None, "end": None, "ended": False, "source-credit": "",
            "target-credit": "", "artist": self._brief(artist),
        }  # fmt: skip

    def artist(self, number: int) -> dict[str, Any]:
        """A line of ``mbdump/artist``."""
        bits = self.dice(40, number)
        tree = self._brief(number) | {
            "gender": None, "area": {"id": self.uuid(7, bits % 200), "name": self.word(bits % 200).title()},
            "begin-area": None, "end-area": None, "isnis": [], "ipis": [], "tags": [], "genres": [], "rating": {},
            "life-span": {"begin": "1960-05", "end": None, "ended": False}, "annotation": None,
            "aliases": [
                {"name": f"{self.name(number)} {place}", "sort-name": "x", "locale": None, "type": None, "begin": None,
                 "end": None, "primary": None, "ended": False, "type-id": None}
                for place in range((bits >> 8) % 3)
            ],
            "relations": [],
        }  # fmt: skip
        places = []
        if bits % 3 == 0:
            places.append(f"https://www.discogs.com/artist/{self.discogs_id(number)}")
        if bits % 4 == 0:
            places.append(f"https://www.wikidata.org/wiki/Q{number + 1}")
        if bits % 7 == 0:
            places.append(f"https://www.deezer.com/artist/{number + 1}")
        if bits % 60 == 0:  # two pages: one of them is somebody else's
            places.append(f"https://www.discogs.com/artist/{self.discogs_id((number + 9) % self.artists)}")
        if bits % 77 == 0:  # and a page that two artists claim
            places = [f"https://www.discogs.com/artist/{self.discogs_id((number + 1) % self.artists)}"]
        places += [f"https://example.org/{number}/{place}" for place in range((bits >> 16) % 5)]
        for address in places:
            tree["relations"].append(
                {"type": "discogs", "target-type": "url", "direction": "forward", "ended": bits % 33 == 0,
                 "attributes": [], "url": {"id": self.uuid(8, number), "resource": address}}
            )  # fmt: skip
        if tree["type"] in ("Group", "Choir"):
            for place in range((bits >> 24) % 6):
                member = (number + 1 + self.dice(41, number, place) % 50) % self.artists
                attributes = (["lead vocals", "original"], ["guitar"], [], ["background vocals", "drums"])[place % 4]
                tree["relations"].append(
                    {"type": "member of band", "target-type": "artist", "direction": "backward", "ended": True,
                     "attributes": attributes, "artist": self._brief(member)}
                )  # fmt: skip
        if bits % 91 == 0:
            del tree["aliases"], tree["relations"]
        return tree

    # ---------------------------------------------------------------- Discogs

    def discogs_id(self, artist: int) -> int:
        """Discogs numbers artists from 1, with gaps."""
        return 3 * artist + 1

    def discogs_name(self, artist: int) -> str:
        """Namesakes have a number, and an article stands behind."""
        name = self.name(artist)
        if name.startswith("The "):
            name = f"{name[4:]}, The"
        return f"{name} ({2 + artist % 7})" if artist % 9 == 4 else name

    def _person(self, artist: int, join: str = "", role: str = "", tracks: str = "", anv: str = "") -> str:
        return (
            f"<artist><id>{self.discogs_id(artist)}</id><name>{escape(self.discogs_name(artist), quote=False)}</name>"
            f"<anv>{escape(anv, quote=False)}</anv><join>{escape(join, quote=False)}</join>"
            f"<role>{role}</role><tracks>{tracks}</tracks></artist>"
        )

    def release(self, album: int) -> str:
        """A ``release`` element: the album's recordings, some under other titles."""
        bits = self.dice(50, album)
        artist = self.album_artist(album)
        first = album * _TRACKS
        numbers = range(first, min(first + _TRACKS, self.recordings))
        tracks = [self._track(number, place) for place, number in enumerate(numbers)]
        if bits % 6 == 0:
            tracks.insert(0, "<track><position></position><title>Side one</title><duration></duration></track>")
        if bits % 11 == 0:
            parts = f"<sub_tracks>{tracks[-1]}{tracks[-1].replace('<title>', '<title>II. ', 1)}</sub_tracks>"
            tracks.append(
                f"<track><position></position><title>Medley &amp; more</title><duration></duration>{parts}</track>"
            )
        if bits % 13 == 0:
            main = "<artist><id>194</id><name>Various</name><anv></anv><join></join><role></role></artist>"
        else:
            main = self._person(artist, anv=self.name(artist).upper() if bits % 17 == 0 else "")
        extra = "".join(
            self._person(
                self.dice(51, album, place) % self.artists,
                role=_ROLES[(bits >> (4 * place)) % len(_ROLES)],
                tracks=("", "A1, B2", "A1 to A3", "")[place % 4],
            )
            for place in range((bits >> 40) % 7)
        )
        notes = f"Recorded at &quot;{self.word(bits >> 9)}&quot; &lt;1978&gt; &#8212; {self.word(bits >> 13)} " * (
            4_000 if bits % 3_001 == 0 else 3
        )
        return (
            f'<release id="{album + 1}" status="Accepted"><images><image type="primary" uri="" height="600"/></images>'
            f"<artists>{main}</artists><title>{escape(self.title(-album - 1), quote=False)}</title>"
            f'<labels><label name="{escape(self.word(bits).title())}" catno="X-{album}" id="{bits % 999}"/></labels>'
            f"<extraartists>{extra}</extraartists>"
            f'<formats><format name="Vinyl" qty="1"><descriptions><description>LP</description></descriptions></format>'
            f"</formats><genres><genre>Pop</genre></genres><styles><style>Vocal</style></styles><country>UK</country>"
            f"<released>{('1987', '2003-05-00', '0000', '2011-09-27', '')[bits % 5]}</released><notes>{notes}</notes>"
            f"<data_quality>Correct</data_quality><tracklist>{''.join(tracks)}</tracklist>"
            f'<identifiers><identifier type="Barcode" value="{bits % 10**12}"/></identifiers>'
            f'<videos><video src="https://example.org/{album}" duration="180"><title>x</title></video></videos>'
            f"<companies><company><id>{bits % 777}</id><name>Mill &amp; Sons</name></company></companies></release>"
        )

    def _track(self, number: int, place: int) -> str:
        bits = self.dice(52, number)
        people = ""
        if guests := self.guests(number):
            named = [self.album_artist(number // _TRACKS), *guests]
            joins = (" Feat. ", " & ", ",", " Featuring ", " vs. ")
            persons = (
                self._person(artist, "" if artist == named[-1] else joins[(bits >> (4 * step)) % len(joins)])
                for step, artist in enumerate(named)
            )
            people = f"<artists>{''.join(persons)}</artists>"
        if bits % 9 == 0:
            singer = self._person((bits >> 8) % self.artists, role=_ROLES[(bits >> 30) % len(_ROLES)])
            people += f"<extraartists>{singer}</extraartists>"
        seconds = self.length_ms(number) // 1000
        duration = f"{seconds // 60}:{seconds % 60:02d}" if bits % 4 else ""
        title = escape(self.title(number), quote=False)
        position = f"{'AB'[place >= _TRACKS // 2]}{place % (_TRACKS // 2) + 1}"
        texts = f"<position>{position}</position><title>{title}</title><duration>{duration}</duration>"
        return f"<track>{texts}{people}</track>"

    def discogs_artist(self, number: int) -> str:
        """An ``artist`` element."""
        bits = self.dice(60, number)
        text = f"<id>{self.discogs_id(number)}</id><name>{escape(self.discogs_name(number), quote=False)}</name>"
        if bits % 3 == 0:
            text += f"<realname>{escape(self.name(number), quote=False)} sr.</realname>"
        text += f"<profile>[b]Singer[/b] &amp; writer from {self.word(bits % 300)}.\r\n&lt;3</profile>"
        text += "<data_quality>Needs Vote</data_quality><urls><url>https://example.org/?a=1&amp;b=2</url></urls>"
        variations = "".join(f"<name>{escape(self.name(number)[: 4 + n], quote=False)}</name>" for n in range(bits % 4))
        text += f"<namevariations>{variations}</namevariations>" if variations else ""
        if self._kind(number) in ("Group", "Choir"):
            members = [(number + 1 + place) % self.artists for place in range((bits >> 8) % 5)]
            names = "".join(
                f'<name id="{self.discogs_id(m)}">{escape(self.discogs_name(m), quote=False)}</name>' for m in members
            )
            text += f"<members>{names}</members>"
        elif bits % 5 == 0:
            text += f'<groups><name id="{self.discogs_id(bits % self.artists)}">G</name></groups>'
        return f"<artist>{text}</artist>"

    # ---------------------------------------------------------------- somebody's tracks

    def tags(self, track: int) -> tuple[str, str, str, str, str, str]:
        """A row of the catalogue: most are recordings under the same or a like title, a tenth is in no dump."""
        bits = self.dice(70, track)
        number = bits % self.recordings
        if bits % 10 == 9:
            return (str(track), f"Unheard {self.word(bits)}", self.word(bits >> 20).title(), "", "200", "")
        artist = self.name(self.album_artist(number // _TRACKS))
        title = self.title(number)
        match (bits >> 40) % 8:
            case 0:
                title += " (Remastered)"
            case 1:
                title = title.upper()
            case 2:
                title = title.replace("a", "", 1)
            case 3:
                artist = artist.removeprefix("The ")
        if guests := self.guests(number):
            artist += f" feat. {self.name(guests[0])}"
        seconds = self.length_ms(number) / 1000 + (bits >> 44) % 5 - 2
        code = self.isrc(number) if (bits >> 20) % 2 else ""
        return str(track), title, artist, code, f"{seconds:.1f}", self.uuid(2, number) if (bits >> 21) % 9 == 0 else ""


def _write_lines(path: Path, trees: Iterator[dict[str, Any]]) -> None:
    encode: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    with path.open("w", encoding="utf-8", newline="\n") as file:
        _write(file, (encode(tree) + "\n" for tree in trees))


def _write_xml(path: Path, root: str, elements: Iterable[str]) -> None:
    with gzip.open(path, "wb", compresslevel=1) as packed, io.TextIOWrapper(packed, encoding="utf-8") as file:
        file.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>\n')
        _write(file, (element + "\n" for element in elements))
        file.write(f"</{root}>\n")


def _write(file: TextIO, lines: Iterable[str]) -> None:
    for line in lines:
        file.write(line)


def _pack(lines: Path, archive: Path) -> None:
    """As MusicBrainz packs its dumps: a tar of notes and one file in ``mbdump``, in one xz stream."""
    with lzma.open(archive, "wb", preset=0) as packed, tarfile.open(fileobj=packed, mode="w|", bufsize=1 << 20) as tar:
        for name, text in (("TIMESTAMP", b"2020-01-01 00:00:00+00\n"), ("COPYING", b"made\n")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
        member = tarfile.TarInfo(f"mbdump/{lines.name}")
        member.size = lines.stat().st_size
        with lines.open("rb") as file:
            tar.addfile(member, file)


if __name__ == "__main__":
    main()
