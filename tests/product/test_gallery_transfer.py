"""Galleries as one file and back: equal to the bit, and nothing else is taken in."""

import base64
import hashlib
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.product.test_gallery import PRINT, made
from whosings.enrolled import NewTrack
from whosings.errors import GalleryError
from whosings.gallery import Gallery
from whosings.gallery_transfer import export_gallery, import_gallery


def enrolled(count=12, first=0):
    for number in range(first, first + count):
        track = replace(made(number, 1 + number % 5, 16), share=0.3 if number % 5 == 0 else 1.0)
        yield NewTrack(f"singer {number % 4}", track, f"{number:064x}", f"/songs/é {number}.flac")


def everything(path):
    """All that a gallery says of singers and recordings, to the bit."""
    with Gallery(path) as gallery:
        gallery.check()
        singers = [(s.name, s.recordings, s.segments, s.voice.tobytes()) for s in gallery.whole_singers()]
        tracks = [
            (t.singer, t.sha256, t.source, t.segments, t.start_s.tobytes(), t.vectors.tobytes())
            for t in gallery.tracks()
        ]
        return gallery.fingerprint, gallery.encoder, gallery.segment_s, singers, tracks


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with Gallery(folder / "g", PRINT, "default") as gallery:
        gallery.add_many(enrolled())
        gallery.remove_track("singer 2", f"{6:064x}")
        found = export_gallery(gallery, folder / "g.jsonl")
        assert (found.singers, found.recordings) == (4, 11)
    return folder / "g"


@pytest.fixture
def exported(whole, tmp_path):
    return shutil.copy(whole.with_name("g.jsonl"), tmp_path / "g.jsonl")


def test_a_gallery_comes_back_to_the_bit(whole, exported, tmp_path):
    found = import_gallery(exported, tmp_path / "new" / "g")
    assert (found.singers, found.recordings, found.held) == (4, 11, 0)
    assert everything(tmp_path / "new" / "g") == everything(whole)
    with Gallery(tmp_path / "new" / "g") as gallery:
        export_gallery(gallery, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == exported.read_bytes()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["g"]


def test_the_file_is_what_is_documented(whole, exported):
    """Read with the standard library and NumPy alone."""
    content = exported.read_bytes()
    first, *lines, last = map(json.loads, content.splitlines())
    assert first == {
        "whosings": "gallery", "format": 1, "fingerprint": PRINT, "encoder": "default", "segment_s": 6.0,
    }  # fmt: skip
    before = content[: content.rstrip(b"\n").rindex(b"\n") + 1]
    assert last == {"singers": 4, "recordings": 11, "sha256": hashlib.sha256(before).hexdigest()}
    by_hash = {new.sha256: new for new in enrolled()}
    for line in lines:
        if "singer" in line:
            voice = np.frombuffer(base64.b64decode(line["voice"]), "<f4")
            sums, name, count = np.zeros(16), line["singer"], 0
        else:
            new, count = by_hash.pop(line["recording"]), count + 1
            vectors = np.frombuffer(base64.b64decode(line["embeddings"]), "<f2").reshape(-1, 16)
            np.testing.assert_array_equal(vectors, new.track.vectors.astype(np.float16))
            np.testing.assert_array_equal(np.frombuffer(base64.b64decode(line["start_s"]), "<f4"), new.track.start_s)
            assert (name, line["source"]) == (new.singer, new.source) and line["segments"] == new.track.amount
            sums += new.track.vectors.mean(axis=0)
            np.testing.assert_allclose(voice, sums, atol=3 if count < 3 else 1e-3)
    assert list(by_hash) == [f"{6:064x}"], "what was removed is not there"


def test_who_is_there_already_gets_what_is_new(whole, exported, tmp_path):
    with Gallery(tmp_path / "g", PRINT) as gallery:
        gallery.add_many(replace(new, singer=new.singer.upper()) for new in enrolled(5))
        gallery.add("singer 3", made(77, 2, 16), "7" * 64)
        gallery.add("Zoe", made(78, 2, 16), "8" * 64)
        found = import_gallery(exported, gallery.path)
        assert (found.singers, found.recordings, found.held) == (0, 6, 5)
        names = [row.name for row in gallery.singers()]
        assert names == ["SINGER 0", "SINGER 1", "SINGER 2", "SINGER 3", "Zoe"], "as the gallery spells them"
        again = import_gallery(exported, gallery.path)
        assert (again.singers, again.recordings, again.held) == (0, 0, 11)
    with Gallery(tmp_path / "other", PRINT) as other:
        other.add_many(replace(new, singer=new.singer.upper()) for new in enrolled() if new.sha256 != f"{6:064x}")
        other.add("singer 3", made(77, 2, 16), "7" * 64)
        other.add("Zoe", made(78, 2, 16), "8" * 64)
    expected, found = everything(tmp_path / "other"), everything(tmp_path / "g")
    assert sorted(found[4]) == sorted(expected[4])
    assert [row[:2] for row in found[3]] == [row[:2] for row in expected[3]]
    for (*_, amount, voice), (*_, other_amount, other_voice) in zip(found[3], expected[3], strict=True):
        assert amount == pytest.approx(other_amount)
        np.testing.assert_allclose(np.frombuffer(voice, np.float32), np.frombuffer(other_voice, np.float32), atol=2e-3)


def test_a_gallery_of_nobody(tmp_path):
    with Gallery(tmp_path / "g", PRINT) as gallery:
        export_gallery(gallery, tmp_path / "e.jsonl")
    assert import_gallery(tmp_path / "e.jsonl", tmp_path / "h").recordings == 0
    with Gallery(tmp_path / "h") as gallery:
        assert gallery.singers() == () and gallery.segment_s is None


def refused(path, folder, match):
    """Neither a new gallery nor one that is there takes anything in."""
    before = (folder / "there").read_bytes() if (folder / "there").exists() else None
    if before is None:
        with Gallery(folder / "there", PRINT) as gallery:
            gallery.add("Ann", made(1, 3, 16), "a" * 64)
        before = (folder / "there").read_bytes()
    for name in ("there", "new"):
        with pytest.raises(GalleryError, match=match) as caught:
            import_gallery(path, folder / name)
        assert str(caught.value).count("\n") == 0
    assert (folder / "there").read_bytes() == before and not (folder / "new").exists()
    assert not [path for path in folder.iterdir() if path.name.startswith(".partial")]


def sealed(path, lines):
    """The file of some lines, with the digest that belongs to them: as somebody may make it who means ill."""
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines[:-1])
    end = {**lines[-1], "sha256": hashlib.sha256(body).hexdigest()}
    path.write_bytes(body + json.dumps(end).encode() + b"\n")


def test_damage_anywhere_is_told(exported, tmp_path):
    content, rng = exported.read_bytes(), np.random.default_rng(0)
    with Gallery(tmp_path / "there", PRINT) as gallery:
        gallery.add("Ann", made(1, 3, 16), "a" * 64)
        rows = gallery.singers()
    for _ in range(60):
        kind, place = int(rng.integers(3)), int(rng.integers(len(content)))
        changed = bytearray(content)
        if kind == 0:
            changed[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del changed[place:]
        else:
            del changed[place : place + 40]
        exported.write_bytes(changed)
        with pytest.raises(GalleryError, match=r"g\.jsonl: (is|cannot|has)|was made with"):
            import_gallery(exported, tmp_path / "there")
    exported.write_bytes(content + b"\n")
    with pytest.raises(GalleryError, match="is damaged or was edited"):
        import_gallery(exported, tmp_path / "there")
    with Gallery(tmp_path / "there") as gallery:
        assert gallery.singers() == rows
        gallery.check()


def numbers(values, kind):
    return base64.b64encode(np.asarray(values, kind).tobytes()).decode()


RECORDING = 2  # line, of the first singer
EDITS = [
    (0, {"format": 2}, "is an exported gallery of another format; update whosings"),
    (0, {"fingerprint": "b" * 64}, None),
    (0, {"segment_s": -1}, "line 1: segment_s"),
    (0, {"more": 1}, "line 1: more: extra inputs"),
    (1, {"singer": " "}, "a singer needs a name"),
    (1, {"singer": "\x1b[31mEve"}, "characters that are no text"),
    (1, {"singer": "x" * 40_000}, "line 2: singer: string should have at most"),
    (1, {"recordings": 0}, "line 2: recordings"),
    (1, {"recordings": 2}, "is damaged"),
    (1, {"recordings": 10**30}, "is damaged"),
    (1, {"segments": 1e9}, "the voice of singer 0 is not that of the recordings"),
    (1, {"segments": True}, "line 2: segments"),
    (1, {"voice": numbers(np.ones(16), "<f4")}, "the voice of singer 0 is not that of the recordings"),
    (1, {"voice": numbers(np.full(16, np.nan), "<f4")}, "line 2: it has embeddings that are no numbers"),
    (1, {"voice": ""}, "line 2: its voice has no numbers"),
    (1, {"voice": "AAA="}, "line 2: its numbers are incomplete"),
    (1, {"voice": "no base 64!"}, "line 2: voice"),
    (1, {"voice": None}, "line 2: voice: .*should be text in base64"),
    (1, {"voice": numbers(np.ones(15), "<f4")}, "line 3: its embeddings are not as many as its starts"),
    (RECORDING, {"recording": ""}, "line 3: recording"),
    (RECORDING, {"source": 5}, "line 3: source"),
    (RECORDING, {"segments": 99}, "line 3: it counts for more segments than it has"),
    (RECORDING, {"segments": 0}, "line 3: segments"),
    (RECORDING, {"start_s": ""}, "line 3: its embeddings are not as many as its starts"),
    (RECORDING, {"start_s": numbers([np.inf], "<f4")}, "line 3: it has embeddings that are no numbers"),
    (RECORDING, {"embeddings": numbers(np.ones(16), "<f2")}, "the voice of singer 0 is not that of the recordings"),
    (RECORDING, {"singer": "Eve"}, "line 3: singer"),
    (-1, {"recordings": 12}, "do not match the digest"),
    (-1, {"singers": 3}, "do not match the digest"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "change", "says"), EDITS)
def test_what_no_gallery_holds_is_refused_though_its_digest_is_right(exported, tmp_path, place, change, says):
    lines = [json.loads(line) for line in exported.read_bytes().splitlines()]
    lines[place] |= change
    sealed(exported, lines)
    if says is None:  # another encoder's: only a new gallery takes it
        with Gallery(tmp_path / "there", PRINT):
            pass
        with pytest.raises(GalleryError, match="was made with encoder aaaaaaaaaaaa, not"):
            import_gallery(exported, tmp_path / "there")
        return
    refused(exported, tmp_path, says)


def test_voices_too_long_for_a_gallery_are_refused(exported, tmp_path):
    """They would make the gallery refuse everybody from then on."""
    header, *_, end = [json.loads(line) for line in exported.read_bytes().splitlines()]
    voice = numbers([50.0] + [0] * 15, "<f4")
    singer = {"singer": "Eve", "recordings": 1, "segments": 1.0, "voice": voice}
    row = {"recording": "e", "source": "e", "segments": 1.0, "start_s": numbers([0], "<f4")}
    sealed(exported, [header, singer, {**row, "embeddings": numbers([50.0] + [0] * 15, "<f2")},
                      {**end, "singers": 1, "recordings": 1}])  # fmt: skip
    with Gallery(tmp_path / "there", PRINT) as gallery:
        for number in range(4):
            gallery.add(f"singer {number}", made(number, 3, 16), str(number))
        with pytest.raises(GalleryError, match=r"there: cannot take them in \(the voice of Eve is none\)"):
            import_gallery(exported, gallery.path)
        assert len(gallery.voices.names) == 4
        gallery.check()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no exported gallery; name a file that whosings gallery export wrote"),
        (b"hello\n", "is no exported gallery"),
        (b"\x00" * 100_000, "is no exported gallery"),
        (b'{"singer": "Ann"}\n', "is no exported gallery"),
        (b'{"whosings": "gallery", "format": 1,' + b"[" * 100_000 + b"\n", "line 1"),
        (b'{"whosings": "gallery", "format": 1, "fingerprint": "\xff"}\n', "line 1"),
        (b'{"whosings": "gallery", "format": 1, "segment_s": NaN}\n', "line 1"),
    ],
)
def test_other_files(tmp_path, content, says):
    (tmp_path / "e.jsonl").write_bytes(content)
    refused(tmp_path / "e.jsonl", tmp_path, says)


def test_a_line_without_end_is_not_read_to_the_end(exported, tmp_path, monkeypatch):
    monkeypatch.setattr("whosings.gallery_lines._LONGEST", 5000)
    lines = exported.read_bytes().splitlines(keepends=True)
    exported.write_bytes(b"".join(lines[:2]) + b'{"recording": "' + b"x" * 100_000)
    refused(exported, tmp_path, "line 3: it is too long")


def test_what_is_no_file(tmp_path):
    refused(tmp_path / "gone", tmp_path, "gone: cannot be read .No such file or directory.; name an exported gallery")
    refused(tmp_path, tmp_path, "is not a file; name an exported gallery")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", tmp_path, "pipe: is not a file")


def test_a_damaged_gallery_is_not_exported(whole, tmp_path):
    content = bytearray(whole.read_bytes())
    place = content.index("/songs/é 5".encode())
    content[place + 1 : place + 3] = b"xx"
    (tmp_path / "g").write_bytes(content)
    with Gallery(tmp_path / "g") as gallery:
        with pytest.raises(GalleryError, match="a recording of singer 1 does not match its digest"):
            export_gallery(gallery, tmp_path / "e.jsonl")
        gallery.add("Zoe", made(5, 2, 16), "9" * 64)  # the file is free again
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g"]
