"""Indices of folders: sha256sum is the oracle for what is written; damage of every kind is told."""

import hashlib
import json
import unicodedata
from pathlib import Path

import pytest

from whosings.catalogue.open_data.index import Checked, IndexedFile, check_index, make_index, read_index, write_index
from whosings.errors import ManifestError

FILES = {"a/1.wav": b"one", "a/Séculaire.mp3": b"two", "meta.json": b"{}"}


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "set"
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name in ("._1.wav", ".DS_Store", "__MACOSX/x.wav"):
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return root


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_an_index_is_written_and_read(folder, tmp_path):
    index = make_index(folder)
    assert index == {name: IndexedFile(len(content), digest(content)) for name, content in FILES.items()}
    write_index(index, tmp_path / "index.json")
    assert read_index(tmp_path / "index.json") == index
    content = json.loads((tmp_path / "index.json").read_text())
    assert list(content["files"]) == sorted(FILES)
    assert check_index(folder, index) == Checked(3, (), (), ())


def test_names_in_pieces_are_the_same_names(folder):
    index = make_index(folder)
    (folder / "a/Séculaire.mp3").rename(folder / "a" / unicodedata.normalize("NFD", "Séculaire.mp3"))
    assert check_index(folder, index) == Checked(3, (), (), ())
    (folder / "a/Séculaire.mp3").write_bytes(b"")
    with pytest.raises(ManifestError, match="but for its Unicode form"):
        make_index(folder)


def test_what_differs_is_told(folder):
    index = make_index(folder)
    (folder / "a/1.wav").write_bytes(b"oNe")
    (folder / "meta.json").write_bytes(b"{} ")
    (folder / "a/Séculaire.mp3").unlink()
    (folder / "a/new.wav").touch()
    missing, extra = ("a/Séculaire.mp3",), ("a/new.wav",)
    assert check_index(folder, index) == Checked(3, missing, ("a/1.wav", "meta.json"), extra)
    assert check_index(folder, index, sizes_only=True) == Checked(3, missing, ("meta.json",), extra)


def test_lists_of_sha256sum_are_read(folder, tmp_path):
    lines = [f"{digest(b'one')}  ./a/1.wav", f"{digest(b'two').upper()} *a/Séculaire.mp3", f"{digest(b'x')} meta.json"]
    (tmp_path / "sums.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert check_index(folder, read_index(tmp_path / "sums.txt")) == Checked(3, (), ("meta.json",), ())
    (tmp_path / "sums.txt").write_text("\n".join([*lines, "and more"]), encoding="utf-8")
    with pytest.raises(ManifestError, match="line 4 is not a SHA-256 and a path"):
        read_index(tmp_path / "sums.txt")


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "{}", '{"kind": "whosings index", "version": 2, "files": {}}',
        '{"kind": "whosings index", "version": 1, "files": {"a": {"size": "1", "sha256": "' + "0" * 64 + '"}}}',
        '{"kind": "whosings index", "version": 1, "files": {"a": {"size": 1, "sha256": "0"}}}',
        '{"kind": "whosings index", "version": 1, "files": []}',
    ],
)  # fmt: skip
def test_what_is_no_index(tmp_path, text):
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(ManifestError, match="is neither an index nor a list of SHA-256"):
        read_index(tmp_path / "index.json")


def test_nothing_to_index(tmp_path):
    with pytest.raises(ManifestError, match="holds no files"):
        make_index(tmp_path)
    for action in (lambda: make_index(tmp_path / "x"), lambda: check_index(tmp_path / "x", {})):
        with pytest.raises(ManifestError, match="no such folder"):
            action()
    with pytest.raises(ManifestError, match="no such file"):
        read_index(tmp_path / "x.json")
    (tmp_path / "empty.json").write_text('{"kind": "whosings index", "version": 1, "files": {}}')
    with pytest.raises(ManifestError, match="lists no files"):
        read_index(tmp_path / "empty.json")
