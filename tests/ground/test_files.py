"""Files that are whole or not there."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from whosings.files import atomic, atomic_folder, content_hash, write_atomic


def test_a_block_that_ends_well_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "table.csv"
    for content in ("first", "second"):
        with atomic(path) as beside:
            assert beside.parent == path.parent and beside.suffix == ".csv" and beside != path
            beside.write_text(content)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == content
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_content(tmp_path: Path, kind: type[BaseException]) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(kind), atomic(path) as beside:
        beside.write_text("half of the n")
        raise kind
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), atomic(path):
        pass
    assert path.read_text() == "old"


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "pair"
    for content in ("first", "second"):
        with atomic_folder(path) as beside:
            (beside / "a.txt").write_text(content)
            assert not path.exists() or (path / "a.txt").read_text() == "first"
        assert [file.read_text() for file in path.iterdir()] == [content]
        assert list(path.parent.iterdir()) == [path]
    with pytest.raises(KeyboardInterrupt), atomic_folder(path) as beside:
        (beside / "a.txt").write_text("half of the n")
        raise KeyboardInterrupt
    assert [file.read_text() for file in path.iterdir()] == ["second"]
    assert list(path.parent.iterdir()) == [path]


def test_a_killed_process_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    program = f"""
import sys, time
from whosings.files import atomic
with atomic({str(path)!r}) as beside, open(beside, "w") as file:
    file.write("half of the n")
    file.flush()
    print("writing", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "writing\n"
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert path.read_text() == "old"
    (left,) = set(tmp_path.iterdir()) - {path}
    assert left.name.startswith(".partial-") and left.read_text() == "half of the n"
    write_atomic(tmp_path / "other.csv", "speaks of another file")
    assert left.exists()
    write_atomic(path, "new")
    assert path.read_text() == "new" and not left.exists()


def test_what_a_live_process_or_another_machine_writes_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pair"
    elsewhere = tmp_path / ".partial-00000000-1-abcdef-pair"
    elsewhere.mkdir()
    with atomic_folder(path) as first, atomic_folder(path) as second:
        assert first.is_dir() and second.is_dir() and first != second
    assert path.is_dir() and elsewhere.is_dir()
    dead = tmp_path / second.name.replace(f"-{os.getpid()}-", "-999999999-")
    (dead / "folder").mkdir(parents=True)
    with atomic_folder(path):
        assert not dead.exists()


@pytest.mark.parametrize("content", ["grüße", b"\x00\xff"])
def test_write_atomic_takes_text_and_bytes(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "file"
    write_atomic(str(path), content)
    assert path.read_bytes() == (content.encode("utf-8") if isinstance(content, str) else content)


def test_content_is_synced_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        events.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name[:8])
        sync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        events.append("replace")
        return replace(self, target)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    folder = tmp_path / "folder"
    write_atomic(folder / "file", "content")
    assert events == ["sync .partial", "replace", "sync folder"]


def test_content_hash(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert content_hash(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    large = os.urandom(3_000_000)
    path.write_bytes(large)
    assert content_hash(str(path)) == hashlib.sha256(large).hexdigest()
