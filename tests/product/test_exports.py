"""Exports are read back by programs that others wrote, or by the format's own rules."""

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from tests.product.test_picture import answer
from whosings.answer import Outcome, Verdict, Voice
from whosings.errors import ConfigError
from whosings.exports import FORMATS, as_csv, as_json, as_labels, as_rttm, export
from whosings.spans import Span

EVIL = [
    "Ann  Lee",
    "Ann_Lee",
    '"Ann" Lee',
    "<NA>",
    "NaN",
    "None",
    "=1+1",
    "a\tb\nc",
    "x;;y",
    "Ørsted 日本",
    "\x1b[2J",
    "राम",
]


def voices(*named):
    return tuple(
        Voice(
            name,
            0.9,
            Outcome.NAMED if name else Outcome.UNKNOWN,
            sum(b - a for a, b in spans),
            tuple(Span(a, b) for a, b in spans),
        )
        for name, spans in named
    )


DUET = replace(
    answer([], Verdict.SEVERAL, track_id="/music/a b/our song.mp3"),
    voices=voices(("Ann", ((0.0, 5.5), (10.0, 12.25))), ("Bob", ((5.5, 10.0),)), (None, ((12.25, 20.0),))),
)
EXPECTED = [(0.0, 5.5, "Ann"), (5.5, 10.0, "Bob"), (10.0, 12.25, "Ann"), (12.25, 20.0, "somebody else")]


def rttm(text):
    """By the description of the format: ten fields between blanks, times in seconds."""
    found = {}
    for line in text.splitlines():
        kind, file, channel, begin, length, orthography, subtype, name, confidence, lookahead = line.split()
        assert (kind, channel) == ("SPEAKER", "1") and float(length) > 0
        assert {orthography, subtype, confidence, lookahead} == {"<NA>"} and name != "<NA>"
        found.setdefault(file, []).append((float(begin), pytest.approx(float(begin) + float(length)), name))
    return found


def test_rttm_by_the_rules_of_its_format():
    expected = [(start, stop, name.replace(" ", "_")) for start, stop, name in EXPECTED]
    assert rttm(as_rttm([DUET])) == {"our_song": expected}


def test_pyannote_reads_what_was_written(tmp_path):
    util = pytest.importorskip("pyannote.database.util", reason="needs the bench extra")
    strange = replace(DUET, track_id="NA.mp3", voices=voices(*((name, ((n, n + 1.0),)) for n, name in enumerate(EVIL))))
    export([DUET, strange], tmp_path / "a.rttm")
    read = util.load_rttm(tmp_path / "a.rttm")
    turns = [(turn.start, turn.end, name) for turn, _, name in read["our_song"].itertracks(yield_label=True)]
    assert turns == [(start, stop, name.replace(" ", "_")) for start, stop, name in EXPECTED]
    names = [name for _, _, name in read["NA_"].itertracks(yield_label=True)]
    assert len(names) == len(set(names)) == len(EVIL) and all(isinstance(name, str) for name in names)


def test_different_names_and_recordings_have_different_fields():
    strange = replace(DUET, voices=voices(*((name, ((n, n + 1.0),)) for n, name in enumerate(EVIL))))
    found = rttm(as_rttm([strange, replace(DUET, track_id="/else/our song.flac"), DUET]))
    assert list(found) == ["our_song", "our_song-2", "our_song-3"]
    names = [name for *_, name in found["our_song"]]
    assert names[:3] == ["Ann_Lee", "Ann_Lee-2", "_Ann__Lee"] and len(set(names)) == len(EVIL)
    assert "\x1b" not in as_rttm([strange]) and "Ørsted_日本" in names and "राम" in names


def test_several_strangers_are_told_apart():
    two = replace(DUET, voices=voices((None, ((0, 5),)), ("Ann", ((5, 9),)), (None, ((9, 12),))))
    assert [line.split("\t")[2] for line in as_labels([two]).splitlines()] == [
        "somebody else 1",
        "Ann",
        "somebody else 2",
    ]
    stranger = replace(DUET, voices=voices(("somebody else", ((0, 5),)), (None, ((5, 9),))))
    names = [name for *_, name in rttm(as_rttm([stranger]))["our_song"]]
    assert names == ["somebody_else", "somebody_else-2"]


def test_labels_as_audacity_reads_them():
    """Its importer: a line with start, tab, stop, tab, and the label to the line's end."""
    lines = as_labels([DUET]).splitlines()
    read = [re.fullmatch(r"(\d+\.\d{6})\t(\d+\.\d{6})\t([^\t]*)", line).groups() for line in lines]
    assert [(float(start), float(stop), name) for start, stop, name in read] == EXPECTED
    strange = replace(DUET, voices=voices(("a\tb\nc", ((0, 5),))))
    assert as_labels([strange]) == "0.000000\t5.000000\ta\\tb\\nc\n"
    with pytest.raises(ConfigError, match="a label track: holds one recording, not 2; export each by itself"):
        as_labels([DUET, DUET])


def test_a_voice_that_is_only_worth_a_look_is_not_exported_as_named():
    (ann, *_) = DUET.voices
    look = replace(DUET, voices=(replace(ann, outcome=Outcome.WORTH_A_LOOK),))
    assert {name for _, _, name in rttm(as_rttm([look]))["our_song"]} == {"perhaps_Ann"}
    assert {line.split("\t")[2] for line in as_labels([look]).splitlines()} == {"perhaps Ann"}
    (row, *_) = csv.DictReader(io.StringIO(as_csv([look])))
    assert (row["singer"], row["outcome"]) == ("Ann", "worth a look")


def test_csv_has_a_row_a_span_and_no_formula():
    rows = list(csv.DictReader(io.StringIO(as_csv([DUET]))))
    singers = [(float(row["start_s"]), float(row["stop_s"]), row["singer"] or "somebody else") for row in rows]
    assert singers == EXPECTED and [row["voice"] for row in rows] == ["1", "2", "1", "3"]
    assert {row["recording"] for row in rows} == {"/music/a b/our song.mp3"} and {row["together"] for row in rows} == {
        "no"
    }
    strange = replace(DUET, track_id="=cmd()", voices=voices(*((name, ((n, n + 1.0),)) for n, name in enumerate(EVIL))))
    rows = list(csv.DictReader(io.StringIO(as_csv([strange]))))
    assert [row["singer"].removeprefix("'") for row in rows] == EVIL
    assert not [cell for row in rows for cell in row.values() if cell[0] in "=+-@\t\r"]


def test_json_is_the_answers():
    (found,) = json.loads(as_json([DUET]))
    assert found["track_id"] == DUET.track_id and found["voices"][1]["spans"] == [{"start_s": 5.5, "stop_s": 10.0}]


@pytest.mark.parametrize("ending", FORMATS)
def test_nothing_heard_is_an_empty_export(tmp_path, ending):
    nothing = answer([], Verdict.NOT_ENOUGH_VOCALS, top=())
    export([nothing], tmp_path / f"a{ending.upper()}")
    text = (tmp_path / f"a{ending.upper()}").read_text()
    assert len(text.splitlines()) == {".rttm": 0, ".txt": 0, ".csv": 1, ".json": 1}[ending]


def test_an_export_that_fails_leaves_the_former_one(tmp_path):
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(ConfigError, match="holds one recording"):
        export([DUET, DUET], tmp_path / "a.txt")
    with pytest.raises(ConfigError, match=r"a\.xml: names no format of answers; let it end with \.rttm or \.txt or"):
        export([DUET], tmp_path / "a.xml")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "before"
