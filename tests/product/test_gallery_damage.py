"""A gallery's file is never believed: each damage is told in a sentence, or changes no answer."""

import shutil
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.product.test_gallery import PRINT, made
from whosings.classifier import Head
from whosings.config import HeadConfig
from whosings.enrolled import FittedHead
from whosings.errors import GalleryError
from whosings.gallery import Gallery

NAMES = ("Ann", "Bob", "Cid", "Dan", "Eve", "Zoe")
FORMER_SCHEMA = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE singers (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    tracks INTEGER NOT NULL, segments INTEGER NOT NULL, voice BLOB NOT NULL
);
CREATE TABLE tracks (
    id INTEGER PRIMARY KEY, singer INTEGER NOT NULL REFERENCES singers ON DELETE CASCADE,
    sha256 TEXT NOT NULL, source TEXT NOT NULL, start_s BLOB NOT NULL, vectors BLOB NOT NULL,
    UNIQUE (singer, sha256)
);
CREATE TABLE head (
    names TEXT NOT NULL, config TEXT NOT NULL, weights BLOB NOT NULL, accuracy REAL NOT NULL, before REAL NOT NULL
);
"""
CONFIG = HeadConfig(kind="linear")


def enrolled():
    """(singer, content hash, track), three or four for each of six singers."""
    for number, name in enumerate(NAMES):
        for n in range(3 + number % 2):
            yield name, f"{number}{n}" * 32, made(10 * number + n, segments=3 + n, name=f"/songs/{name}/{n}.flac")


def fitted(names=NAMES):
    rng = np.random.default_rng(0)
    weights = {"out.weight": rng.normal(size=(8, len(names))), "out.bias": rng.normal(size=len(names))}
    head = Head(CONFIG, {name: torch.from_numpy(value.astype(np.float32)) for name, value in weights.items()})
    return FittedHead(names, head, 0.75, 0.5)


def edited(gallery, folder, statement):
    """A copy of a gallery, changed by something else."""
    path = folder / "g"
    shutil.copy(gallery, path)
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "g"
    with Gallery(path, PRINT, "default") as gallery:
        for name, sha256, track in enrolled():
            gallery.add(name, track, sha256)
        gallery.keep_head(fitted())
    return path


@pytest.fixture(scope="module")
def former(tmp_path_factory):
    """A gallery as the former format had it, written here without any code of the package."""
    path = tmp_path_factory.mktemp("former") / "g"
    with sqlite3.connect(path) as db:
        db.executescript(FORMER_SCHEMA)
        db.executemany(
            "INSERT INTO about VALUES (?, ?)", [("format", "1"), ("fingerprint", PRINT), ("encoder", "fast")]
        )
        for number, name in enumerate(NAMES, 1):
            own = [(sha256, track) for who, sha256, track in enrolled() if who == name]
            voice = np.sum([track.vectors.mean(axis=0) for _, track in own], axis=0, dtype=np.float32)
            segments = sum(len(track.vectors) for _, track in own)
            db.execute(
                "INSERT INTO singers VALUES (?, ?, ?, ?, ?)", (number, name, len(own), segments, voice.tobytes())
            )
            for sha256, track in own:
                blobs = track.start_s.astype(np.float32).tobytes(), track.vectors.astype(np.float16).tobytes()
                row = (number, sha256, track.track_id, *blobs)
                db.execute("INSERT INTO tracks (singer, sha256, source, start_s, vectors) VALUES (?, ?, ?, ?, ?)", row)
        one = fitted()
        row = ('["' + '", "'.join(NAMES) + '"]', CONFIG.model_dump_json(), one.head.to_bytes(), 0.75, 0.5)
        db.execute("INSERT INTO head VALUES (?, ?, ?, ?, ?)", row)
    return path


def answers(path):
    """All that a gallery says."""
    with Gallery(path) as gallery:
        voices, tracks, head = gallery.voices, gallery.tracks(), gallery.head
        return (
            gallery.fingerprint,
            gallery.encoder,
            gallery.singers(),
            (voices.names, voices.vectors.tobytes(), voices.segments.tolist()),
            [(t.singer, t.sha256, t.source, t.segments, t.vectors.tobytes()) for t in tracks],
            None if head is None else (head.names, head.accuracy, head.before, head.head.to_bytes()),
            [gallery.holds(name, sha256) for name, sha256, _ in enrolled()],
            [gallery.holds(name, "9" * 64) for name in (*NAMES, "Pat")],
        )


def told(path, expected):
    """Whether damage was told; otherwise nothing may have changed."""
    try:
        found = answers(path)
    except GalleryError as error:
        assert str(error).startswith(f"{path}: ") and str(error).endswith(".")
        return True
    assert found == expected
    return False


def damaged(content, rng):
    """A file with other bytes somewhere: one bit, some bytes, a stretch of zeros, a stretch from elsewhere."""
    found = bytearray(content)
    place, size = int(rng.integers(len(found))), int(rng.integers(1, 65))
    stretch = len(found[place : place + size])
    kind = rng.integers(4)
    if kind == 0:
        found[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        found[place : place + stretch] = rng.bytes(stretch)
    elif kind == 2:
        found[place : place + stretch] = bytes(stretch)
    else:
        start = int(rng.integers(len(found) - stretch + 1))
        found[place : place + stretch] = content[start : start + stretch]
    return bytes(found)


@pytest.mark.parametrize("count", [400, pytest.param(800, marks=pytest.mark.slow)])
def test_damaged_bytes_are_told_or_change_nothing(whole, tmp_path, count):
    expected, content, rng = answers(whole), whole.read_bytes(), np.random.default_rng(count)
    path = tmp_path / "g"
    seen = 0
    for _ in range(count):
        path.write_bytes(damaged(content, rng))
        seen += told(path, expected)
    assert count / 5 < seen < count


def test_edited_fields_are_told(whole, tmp_path):
    expected = answers(whole)
    path = tmp_path / "g"
    with sqlite3.connect(whole) as db:
        columns = [
            (table, column)
            for table in ("about", "singers", "tracks", "head")
            for column in [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        ]
    edits = ("NULL", "''", "'x'", "x''", "x'00'", "0", "-1", "9e999", "{} || 'x'", "{} + 1", "zeroblob(length({}))")
    for table, column in columns:
        for edit in edits:
            shutil.copy(whole, path)
            with sqlite3.connect(path) as db:
                db.text_factory = bytes  # what is no text can be compared, too
                before = db.execute(f"SELECT * FROM {table}").fetchall()
                place = f"(SELECT min(rowid) FROM {table})"
                try:
                    db.execute(f"UPDATE {table} SET {column} = {edit.format(column)} WHERE rowid = {place}")
                except sqlite3.IntegrityError:
                    continue
                changed = db.execute(f"SELECT * FROM {table}").fetchall() != before
            db.close()
            assert told(path, expected) == changed, (table, column, edit)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM singers WHERE name = 'Bob'",
        "DELETE FROM tracks WHERE id = 3",
        "DELETE FROM about WHERE key = 'fingerprint'",
        "DELETE FROM about WHERE key = 'singers'",
        "DELETE FROM head",
        "DROP TABLE head",
        "DROP TABLE tracks",
        "INSERT INTO head SELECT * FROM head",
        "UPDATE tracks SET singer = (SELECT id FROM singers WHERE name = 'Bob') WHERE id = 1",
        "INSERT INTO singers SELECT 7, 'Pat', tracks, segments, content, digest, voice FROM singers LIMIT 1",
        "INSERT INTO tracks SELECT id + 1, 12345, sha256, digest, segments, source, start_s, vectors FROM tracks"
        " ORDER BY id DESC LIMIT 1",
        "CREATE TRIGGER t AFTER INSERT ON tracks BEGIN DELETE FROM head; END",
        "CREATE VIEW v AS SELECT * FROM singers",
        "CREATE INDEX i ON singers (tracks)",
        "CREATE TABLE more (x)",
    ],
)
def test_rows_and_tables_that_come_or_go(whole, tmp_path, statement):
    path = edited(whole, tmp_path, statement)
    with pytest.raises(GalleryError, match=r"g: is damaged"), Gallery(path) as gallery:
        answers(path)
        gallery.check()


def test_a_change_of_a_damaged_singer_is_refused_and_hides_nothing(whole, tmp_path):
    path = edited(whole, tmp_path, "UPDATE singers SET segments = segments + 1 WHERE name = 'Bob'")
    with Gallery(path) as gallery:
        changes = (
            lambda: gallery.add("Bob", made(99), "new"),
            lambda: gallery.merge("Bob", "Ann"),
            lambda: gallery.rename("Bob", "Rob"),
            lambda: gallery.remove("Bob"),
        )
        for change in changes:
            with pytest.raises(GalleryError, match="the row of Bob does not match its digest"):
                change()
        gallery.add("Ann", made(98), "new")  # another singer's row is well, and Bob's stays damaged
        with pytest.raises(GalleryError, match="the row of Bob does not match its digest"):
            _ = gallery.voices


def test_a_head_is_there_until_the_gallery_changes_or_it_is_forgotten(whole, tmp_path):
    path = tmp_path / "g"
    for change in (
        lambda gallery: gallery.add("Ann", made(99), "new"),
        lambda gallery: gallery.rename("Ann", "Amy"),
        lambda gallery: gallery.keep_head(None),
    ):
        shutil.copy(whole, path)
        with Gallery(path) as gallery:
            assert gallery.head is gallery.head is not None
            change(gallery)
            assert gallery.head is None
            gallery.keep_head(fitted(gallery.voices.names))
            assert gallery.head.names == gallery.voices.names
            gallery.check()


def test_a_head_of_other_singers_is_refused(whole, tmp_path):
    path = tmp_path / "g"
    shutil.copy(whole, path)
    with Gallery(path) as gallery:
        assert gallery.voices.names == NAMES
        with Gallery(path) as other:
            other.remove("Zoe")
            other.keep_head(fitted(NAMES[:-1]))
        with pytest.raises(GalleryError) as caught:
            _ = gallery.head
        assert str(caught.value) == f"{path}: has a classifier of other singers; open it again, or fit again."


def test_a_check_reads_a_head_again_that_is_known(whole, tmp_path):
    path = tmp_path / "g"
    shutil.copy(whole, path)
    with Gallery(path) as gallery:
        assert gallery.head is not None
        with sqlite3.connect(path) as db:
            db.execute("UPDATE head SET accuracy = 1")
        db.close()
        with pytest.raises(GalleryError, match="its classifier does not match its digest"):
            gallery.check()


@pytest.mark.parametrize(
    "wrong",
    [
        replace(fitted(), names=NAMES[:-1]),
        replace(fitted(), head=Head(CONFIG, {name: value * np.nan for name, value in fitted().head.weights.items()})),
        replace(fitted(), head=Head(CONFIG, {**fitted().head.weights, "more": torch.tensor([np.inf])})),
        replace(fitted(), head=Head(CONFIG, {"out.bias": torch.zeros(len(NAMES))})),
        replace(fitted(), head=Head(CONFIG, {**fitted().head.weights, "out.weight": torch.zeros(7, len(NAMES))})),
    ],
)
def test_a_head_that_is_none_is_told_when_read_and_by_a_check(whole, tmp_path, wrong):
    path = tmp_path / "g"
    shutil.copy(whole, path)
    with Gallery(path) as gallery:
        _ = gallery.head
        gallery.keep_head(wrong)
        for ask in (lambda: gallery.head, gallery.check):
            with pytest.raises(GalleryError, match=r"g: is damaged \(its classifier cannot be used: .+\); restore it"):
                ask()


def test_a_damaged_index_hides_nobody(whole, tmp_path):
    """Bob's name is spoilt in the index by name, and not in the table."""
    content = whole.read_bytes()
    with sqlite3.connect(whole) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_singers_1'").fetchone()
    start = (page - 1) * 4096
    place = content.index(b"Bob", start, start + 4096)
    (tmp_path / "g").write_bytes(content[:place] + b"Bot" + content[place + 3 :])
    with Gallery(tmp_path / "g") as gallery:
        for ask in (lambda: gallery.holds("Bob", "x"), lambda: gallery.add("Bob", made(5), "x")):
            with pytest.raises(GalleryError, match="Bob is found by one search and not by another"):
                ask()
        with pytest.raises(GalleryError, match=r"is damaged \(.*index sqlite_autoindex_singers_1\)"):
            gallery.check()


def test_galleries_of_the_former_format_are_read_as_they_are(former, whole, tmp_path):
    before = former.read_bytes()
    old, new = answers(former), answers(whole)
    assert old[1] == "fast" and old[2:4] == new[2:4] and old[5:] == new[5:]
    assert [t[:3] + t[4:] for t in old[4]] == [t[:3] + t[4:] for t in new[4]]
    with Gallery(former) as gallery:
        gallery.check()
    assert former.read_bytes() == before


def test_galleries_of_the_former_format_are_renewed_by_a_change(former, tmp_path):
    path = tmp_path / "g"
    shutil.copy(former, path)
    before = answers(path)
    with Gallery(path, PRINT) as gallery:
        assert gallery.add("Zoe", made(77), "new")
        gallery.remove("Zoe")
        gallery.check()
    found = answers(path)
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT value FROM about WHERE key = 'format'").fetchone() == ("2",)
        assert {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")} == {
            "about", "singers", "tracks", "head"
        }  # fmt: skip
    assert found[:2] == before[:2] and found[5] is None
    assert found[2] == tuple(row for row in before[2] if row.name != "Zoe")
    assert found[4] == [row for row in before[4] if row[0] != "Zoe"]
    with sqlite3.connect(path) as db:
        db.execute("UPDATE singers SET tracks = 9 WHERE name = 'Ann'")
    with pytest.raises(GalleryError, match="the row of Ann does not match its digest"):
        answers(path)


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE singers SET voice = x'0000c07f' || substr(voice, 5) WHERE name = 'Ann'",
        "UPDATE singers SET voice = x'0000807f' || substr(voice, 5) WHERE name = 'Ann'",
        "UPDATE singers SET voice = x'00000042' || substr(voice, 5) WHERE name = 'Ann'",
        "UPDATE singers SET voice = substr(voice, 5) WHERE name = 'Ann'",
        "UPDATE singers SET voice = substr(voice, 2) WHERE name = 'Ann'",
        "UPDATE singers SET voice = 'text' WHERE name = 'Ann'",
        "UPDATE singers SET tracks = 0 WHERE name = 'Ann'",
        "UPDATE singers SET tracks = 'three' WHERE name = 'Ann'",
        "UPDATE singers SET segments = -4 WHERE name = 'Ann'",
        "UPDATE singers SET name = ' ' WHERE name = 'Ann'",
        "UPDATE tracks SET vectors = x'00' WHERE id = 1",
        "UPDATE tracks SET vectors = x'007c' || substr(vectors, 3) WHERE id = 1",
        "UPDATE tracks SET start_s = x'' WHERE id = 1",
        "DELETE FROM tracks WHERE id = 1",
        "DELETE FROM about WHERE key = 'fingerprint'",
        "UPDATE head SET weights = x'00'",
        "UPDATE head SET weights = substr(weights, 1, length(weights) - 4)",
        "UPDATE head SET config = 'no JSON'",
        "UPDATE head SET names = '[\"Ann\"]'",
        "UPDATE head SET names = '3'",
    ],
)
def test_what_cannot_be_is_told_in_the_former_format_too(former, tmp_path, edit):
    path = edited(former, tmp_path, edit)
    with pytest.raises(GalleryError, match="g: is damaged"):
        answers(path)


def test_check_finds_a_voice_that_is_not_that_of_the_recordings(former, tmp_path):
    path = tmp_path / "g"
    shutil.copy(former, path)
    with sqlite3.connect(path) as db:
        (voice,) = db.execute("SELECT voice FROM singers WHERE name = 'Ann'").fetchone()
        turned = np.roll(np.frombuffer(voice, np.float32), 1).tobytes()
        db.execute("UPDATE singers SET voice = ? WHERE name = 'Ann'", (turned,))
    with Gallery(path) as gallery, pytest.raises(GalleryError, match="the voice of Ann is not that of the recordings"):
        gallery.check()
    with Gallery(path) as gallery, pytest.raises(GalleryError, match="the voice of Ann"):
        gallery.add("Bob", made(50), "new")  # damage is not sealed


def test_short_recordings_count_for_what_they_are_worth_after_a_merge(tmp_path):
    short = replace(made(1, segments=1), share=0.3)
    with Gallery(tmp_path / "g", PRINT) as gallery:
        gallery.add("Ann", short, "short")
        gallery.add("Bob", short, "short")
        gallery.merge("Bob", "Ann")
        assert gallery.singers()[0].segments == pytest.approx(0.3)


def test_enrolment_reads_only_what_it_needs(tmp_path):
    """What SQLite reads of the file does not grow with the number of singers, once their names are known."""

    def steps(singers):
        path = tmp_path / str(singers)
        with Gallery(path, PRINT) as gallery:
            gallery._db.execute("PRAGMA synchronous = OFF")
            for number in range(singers):
                gallery.add(f"singer {number}", made(number), str(number))
        count = [0]
        with Gallery(path, PRINT) as gallery:
            gallery.spelling("somebody new")
            gallery._db.set_progress_handler(lambda: count.__setitem__(0, count[0] + 1), 1)
            assert not gallery.holds("somebody new", "x")
            assert gallery.add("somebody new", made(1), "x")
        return count[0]

    assert steps(300) < 1.2 * steps(30)
