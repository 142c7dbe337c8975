"""What scanning from an S3 server costs beside scanning the same files here: seconds, requests and bytes a song.

The server is moto's, in a process of its own on this machine: what is measured is the client's share, and no network.

    python benchmarks/scale_storage.py --songs 24 --seconds 180
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
import numpy as np
import soundfile

RATE = 16_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(given.songs):
            rng = np.random.default_rng(number)
            time_s = np.arange(round(RATE * given.seconds)) / RATE
            tone = sum(np.sin(2 * np.pi * k * (150 + number) * time_s) / k for k in range(1, 9))
            path = folder / "songs" / f"{number:04d}.flac"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, 0.2 * tone + 0.01 * rng.standard_normal(time_s.size), RATE)
        log = folder / "server.log"
        with log.open("w") as written:
            port = 5055
            server = subprocess.Popen(
                [Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)],
                stdout=written,
                stderr=written,
            )
        try:
            measure(given, folder, log, f"http://127.0.0.1:{port}")
        finally:
            server.terminate()


def measure(given: argparse.Namespace, folder: Path, log: Path, url: str) -> None:
    os.environ |= {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "OMP_NUM_THREADS": "1",
    }
    client = boto3.client("s3", region_name="us-east-1")
    for _ in range(100):
        try:
            client.create_bucket(Bucket="songs")
            break
        except Exception:  # it is still starting
            time.sleep(0.2)
    paths = sorted((folder / "songs").iterdir())
    for path in paths:
        client.upload_file(str(path), "songs", f"all/{path.name}")
    size = sum(path.stat().st_size for path in paths)
    print(f"{len(paths)} songs of {given.seconds:g} s, {size / len(paths) / 1e6:.2f} MB each")
    for where, source in (("here", str(folder / "songs")), ("s3", "s3://songs/all")):
        for turn in ("first", "again"):
            before = log.read_text().count("HTTP/1.1")
            began = time.perf_counter()
            command = [sys.executable, "-m", "whosings", "scan", source, "--library", str(folder / f"{where}.library")]
            subprocess.run(
                [*command, "--encoder", "fast", "--workers", str(given.workers)], check=True, capture_output=True
            )
            took = time.perf_counter() - began
            asked = log.read_text().count("HTTP/1.1") - before
            print(f"{where}, {turn}: {took:.2f} s, {took / len(paths):.3f} s a song, {asked} requests")


if __name__ == "__main__":
    main()
