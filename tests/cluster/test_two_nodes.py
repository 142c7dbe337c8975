"""A real Ray cluster of two nodes on this machine: the same results as here, and nothing lost when a node dies."""

import os
import secrets
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import soundfile

from tests.conftest import singing

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra scale")
ROOT = Path(__file__).parents[2]


@dataclass
class Cluster:
    """Two nodes of one core each: the first says that it has a GPU, and the second can be killed."""

    address: str
    environment: dict[str, str]
    second: int

    def whosings(self, *words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "whosings", *map(str, words)]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300)

    def does(self, step: str, *given: object) -> None:
        """One of ``steps``, in a process of its own: Ray reads its settings once a process."""
        command = [sys.executable, "-m", "tests.cluster.steps", step, self.address, *map(str, given)]
        ran = subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=600)
        assert ran.returncode == 0, ran.stderr[-5000:]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # Ray's own folder must have a short name: sockets lie in it.
    folder = tmp_path_factory.mktemp("r")
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    # A node is dead after ten seconds without a sign, not after half a minute.
    soon = {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "10"}
    environment = {**os.environ, **secret, **soon, "PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(folder)}
    command = Path(sys.executable).parent / "ray"

    def begin(*words: str) -> set[int]:
        before = _raylets(folder)
        common = ("--num-cpus=1", "--node-ip-address=127.0.0.1", "--object-store-memory=200000000")
        subprocess.run([command, "start", *words, *common], env=environment, check=True, capture_output=True)
        return _raylets(folder) - before

    begin("--head", "--port=0", "--num-gpus=1", "--include-dashboard=false", f"--temp-dir={folder}")
    address = (folder / "ray_current_cluster").read_text().strip()
    (second,) = begin(f"--address={address}")
    try:
        yield Cluster(address, environment, second)
    finally:
        for process in _of(folder):
            os.kill(process, signal.SIGKILL)


def _of(folder: Path) -> Iterator[int]:
    """Processes whose command line names a folder."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                yield int(path.parent.name)
        except OSError:
            continue


def _raylets(folder: Path) -> set[int]:
    return {number for number in _of(folder) if Path(f"/proc/{number}/comm").read_text().strip() == "raylet"}


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    for place, name in enumerate(("a/one.flac", "a/two.flac", "b/three.flac", "b/four.flac", "b/five.flac")):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, singing(8 + place, place), 16_000)
    (folder / "b/copy.flac").write_bytes((folder / "a/one.flac").read_bytes())
    (folder / "b/broken.mp3").write_text("no music")
    return folder


def rows_of(library: Path) -> list[tuple[object, ...]]:
    """What a library holds, without the order and the time of listening."""
    with sqlite3.connect(library) as db:
        voices = "SELECT sha256, duration_s, vocal_s, short, opinion, error, number, mean, amount, seconds, spans"
        found = db.execute(f"{voices} FROM recordings LEFT JOIN voices ON recording = recordings.id").fetchall()
        files = db.execute("SELECT path, size, mtime_ns, tags FROM files").fetchall()
    return sorted(map(repr, found)) + sorted(map(repr, files))


@pytest.mark.long
def test_all_verbs_do_as_here(cluster, songs, tiny, tmp_path):
    """In one test, because a cluster takes long to begin; it comes first, because the next one kills a node."""
    _scans_in_halves_and_embeds_as_here(cluster, songs, tiny.folder, tmp_path)
    cluster.does("makes_and_prepares_as_here", songs, tmp_path)
    cluster.does("says_what_is_wrong", tmp_path)
    cluster.does("does_halves_apart")
    cluster.does("is_a_stage_of_ray_data", songs, tiny.folder)


@pytest.mark.slow
def test_scans_as_here_and_loses_nothing_with_a_process_and_a_node(cluster, songs, tiny, tmp_path):
    for engine, words in (("local", ("--workers", "2")), ("ray", ("--engine", "ray", "--address", cluster.address))):
        ran = cluster.whosings("scan", songs, "--library", tmp_path / engine, "--encoder", tiny.folder, *words)
        assert ran.returncode == 1 and "7 files: 5 heard, 1 copy, 1 failed" in ran.stderr
        assert all(line.startswith("{") for line in ran.stdout.splitlines())
    assert rows_of(tmp_path / "ray") == rows_of(tmp_path / "local")
    cluster.does("loses_nothing_with_a_process_and_a_node", cluster.second, tmp_path)


def _scans_in_halves_and_embeds_as_here(cluster, songs, encoder, out):
    there = ("--engine", "ray", "--address", cluster.address)
    files = sorted(songs.rglob("*.flac"))
    for name, words in (("here", ("--workers", "2")), ("there", there)):
        ran = cluster.whosings("embed", *files, "--out", out / f"{name}.parquet", "--encoder", encoder, *words)
        assert ran.returncode == 0, ran.stderr
    assert (out / "there.parquet").read_bytes() == (out / "here.parquet").read_bytes()
    for name, words in (("here", ("--workers", "2")), ("there", (*there, "--gpus", "0.5"))):
        ran = cluster.whosings("scan", songs, "--library", out / name, "--encoder", encoder, *words)
        assert ran.returncode == 1, ran.stderr
    assert rows_of(out / "there") == rows_of(out / "here")
    again = cluster.whosings("scan", songs, "--library", out / "there", "--encoder", encoder, *there)
    assert "6 known, 1 failed" in again.stderr
