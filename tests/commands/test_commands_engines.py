"""Who works is an option; what a scan tells Prometheus; a stage for Ray Data."""

import socket
import sys
import threading
from importlib.util import find_spec
from urllib.request import urlopen

import numpy as np
import pytest
import soundfile

from tests.conftest import singing
from whosings.cluster import RayEngine
from whosings.commands import engines, scan
from whosings.errors import ClusterError, ConfigError
from whosings.library.library_file import Library
from whosings.library.scan_metrics import serve_metrics
from whosings.ray_data import VOICES, VoicesOfFiles


@pytest.fixture
def songs(tmp_path):
    folder = tmp_path / "songs"
    folder.mkdir()
    for number in range(2):
        soundfile.write(folder / f"{number}.flac", singing(8, number), 16_000)
    (folder / "bad.mp3").write_text("none")
    return folder


@pytest.fixture
def port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--address", "auto"), "--address counts for --engine ray"),
        (("--gpus", "0.5"), "--gpus counts for --engine ray"),
        (("--engine", "ray", "--workers", "0"), "--workers 0 works in this process"),
        (("--engine", "ray", "--device", "cuda"), "--gpus says who has a GPU, and not --device cuda"),
        (("--engine", "ray", "--gpus", "1", "--device", "cpu"), "--gpus says who has a GPU, and not --device cpu"),
    ],
)
def test_options_of_engines_that_mean_nothing_are_refused(run, songs, words, problem):
    code, _, err = run("scan", songs, *words)
    assert code == 2 and problem in " ".join(err.split())


def test_ray_is_an_extra(run, songs, tmp_path, monkeypatch):
    monkeypatch.setattr("whosings.errors.find_spec", lambda name: None if name == "ray" else find_spec(name))
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    code, _, err = run("scan", songs, "--library", tmp_path / "l", "--engine", "ray")
    assert code == 1 and "needs the package ray" in err and "'whosings[scale]'" in " ".join(err.split())


def test_separation_takes_all_of_a_cluster_unless_told_otherwise(run, songs, tmp_path, monkeypatch):
    asked = []

    def connect(address, workers, gpus):
        asked.append(workers)
        raise ClusterError("the cluster", "is not asked further", "none")

    monkeypatch.setattr("whosings.cluster.RayEngine.connect", connect)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    for words in ((), ("--workers", "3")):
        assert run("separate", songs / "0.flac", "--out", tmp_path / "o", "--engine", "ray", *words)[0] == 1
    assert asked == [None, 3]


def test_models_that_are_files_are_named_from_the_root_and_others_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("default", "demucs", "hub:somebody/model", "mine")
    for name in (*names, "somebody/model"):
        (tmp_path / name).mkdir(parents=True)
    told = [engines.seen_by_all(name, RayEngine("auto")) for name in (*names, "demucs:mine", "onnx:other")]
    assert told == [*names[:3], f"{tmp_path}/mine", f"demucs:{tmp_path}/mine", "onnx:other"]
    assert engines.seen_by_all("mine", 2) == "mine"


def test_what_rays_threads_print_is_kept_from_standard_output(capsys):
    quiet = engines._WithoutRay(sys.stdout)
    for name in ("ray_listen_error_messages", "mine"):
        thread = threading.Thread(target=lambda: print("a row", file=quiet), name=name)
        thread.start()
        thread.join()
    assert capsys.readouterr().out == "a row\n" and quiet.encoding == sys.stdout.encoding


def test_a_scan_tells_prometheus_of_every_file(run, songs, tiny, tmp_path, port, monkeypatch):
    seen = []
    add = scan._Rows.add

    def look(rows, scanned):
        add(rows, scanned)
        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            seen.append(answer.read().decode())

    monkeypatch.setattr(scan._Rows, "add", look)
    words = ("--library", tmp_path / "l", "--encoder", tiny.folder, "--workers", 0, "--metrics", port)
    assert run("scan", songs, *words)[0] == 1
    assert "whosings_scan_files_total" in seen[-1] and 'state="heard"} 1.0' in seen[1]
    numbers = dict(line.rsplit(" ", 1) for line in seen[-1].splitlines() if not line.startswith("#"))
    assert float(numbers["whosings_scan_heard_seconds_total"]) == 16.0
    assert float(numbers["whosings_scan_processes"]) == 1.0
    with pytest.raises(OSError, match="refused"):
        urlopen(f"http://127.0.0.1:{port}/metrics")


def test_a_port_that_is_taken_is_a_sentence(port):
    with (
        serve_metrics(port, lambda: 0, lambda: 1),
        pytest.raises(ConfigError, match="cannot be listened at"),
        serve_metrics(port, lambda: 0, lambda: 1),
    ):
        pass


def test_the_stage_for_ray_data_hears_what_a_scan_hears(run, songs, tiny, tmp_path):
    run("scan", songs, "--library", tmp_path / "l", "--encoder", tiny.folder, "--workers", 0)
    paths = np.array([str(path) for path in sorted(songs.iterdir())])
    table = VoicesOfFiles(str(tiny.folder), "cpu")({"path": paths})
    assert table.schema == VOICES
    rows = {row["path"]: row for row in table.to_pylist()}
    assert rows[str(songs / "bad.mp3")]["error"].startswith(str(songs / "bad.mp3"))
    with Library(tmp_path / "l") as library:
        for recording, heard in library.all_heard():
            (voice,), row = heard.voices, rows[library.paths(recording)[0]]
            assert row["voice"] == 0 and row["error"] is None and row["duration_s"] == 8.0
            np.testing.assert_array_equal(np.array(row["mean"], np.float32), voice.mean)
