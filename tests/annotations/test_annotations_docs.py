"""The code on docs/annotations.md runs as it stands there."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from whosings.annotations.decision_tables import read_singers
from whosings.annotations.web import Answer, Web

ADA = "aaaaaaaa-0000-4000-8000-00000000000a"
PAGE = Path(__file__).parents[2] / "docs" / "annotations.md"


def code(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tracks.csv").write_text("track_id,title,artist,duration_s\n1,Night Boat,Ada Moor,3:21\n")
    return tmp_path


def test_live(folder, monkeypatch, capsys):
    def nothing(self: Web, url: str, *_: object, **__: object) -> Answer:
        empty = b'{"results": {"bindings": []}, "data": [], "count": 0, "recordings": []}'
        return Answer(200, {"Content-Type": "application/sparql-results+json"}, empty, False)

    monkeypatch.setattr(Web, "ask", nothing)
    exec(compile(code("live"), str(PAGE), "exec"), {})
    assert "no source" in (folder / "decisions.csv").read_text()
    assert "NO_SOURCE" in capsys.readouterr().out


def test_dumps(folder, monkeypatch):
    person = {"id": ADA, "name": "Ada Moor", "type": "Person"}
    credit = [{"name": "Ada Moor", "artist": person}]
    song = {"id": ADA, "title": "Night Boat", "length": 201000, "artist-credit": credit}
    # The published tars are read in their own test; here the same lines lie bare.
    page = code("dumps").replace(".tar.xz", ".jsonl")
    (folder / "recording.jsonl").write_text(json.dumps(song))
    (folder / "artist.jsonl").write_text(json.dumps(person))
    (folder / "wikidata-tracks.json").write_text('{"results": {"bindings": []}}')
    (folder / "wikidata-artists.csv").write_text(
        f"artist,artistLabel,human,sings,mbid\nhttp://www.wikidata.org/entity/Q1,Ada Moor,true,true,{ADA}\n"
    )
    for name in ("releases", "artists"):
        (folder / f"discogs_{name}.xml.gz").write_bytes(gzip.compress(f"<{name}></{name}>".encode()))
    exec(compile(page, str(PAGE), "exec"), {})
    [singer] = read_singers(folder / "singers.parquet")
    assert (singer.singer_id, singer.wikidata_id) == (f"musicbrainz:{ADA}", "Q1")
