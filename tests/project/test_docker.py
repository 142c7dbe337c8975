"""The container: what its files promise without an engine that builds them."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import Any

import pytest
import typer.main
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from whosings import __version__
from whosings.cli import build_app

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@dataclass
class Stage:
    """A stage of a Dockerfile: its base as it is written, and what follows, as instruction and rest."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str:
        return [rest for word, rest in self.steps if word == instruction][-1]

    def words(self, instruction: str) -> list[str]:
        """Of the form that is a JSON array, which no shell reads."""
        return list(json.loads(re.sub(r"^.*?(?=\[)", "", self.last(instruction))))

    @property
    def environment(self) -> dict[str, str]:
        pairs = [pair for word, rest in self.steps if word == "ENV" for pair in shlex.split(rest)]
        return dict(pair.split("=", 1) for pair in pairs)


def _stages() -> tuple[dict[str, str], list[Stage]]:
    """Arguments before the first stage, and the stages."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in re.sub(r"\\\n", "", "\n".join(lines)).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            stages.append(Stage(rest.split()[0]))
        elif word and stages:
            stages[-1].steps.append((word, rest.strip()))
        elif word == "ARG":
            arguments.update([rest.split("=", 1)])
    return arguments, stages


ARGUMENTS, STAGES = _stages()
FINAL = STAGES[-1]


def _copied(stage: Stage) -> list[str]:
    """What a stage takes from the project's folder."""
    rests = [rest.split() for word, rest in stage.steps if word == "COPY"]
    return [name for rest in rests if not rest[0].startswith("--from") for name in rest[:-1]]


def _is_sent(path: str) -> bool:
    """Whether a file is sent to the engine: the last pattern that fits it, or a folder above it, counts."""
    sent = True
    whole = PurePosixPath(path)
    places = [str(place) for place in (whole, *whole.parents)]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = re.escape(line.lstrip("!")).replace(r"\[", "[").replace(r"\]", "]")
            pattern = pattern.replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
            if any(re.fullmatch(pattern, place) for place in places):
                sent = line.startswith("!")
    return sent


# ------------------------------------------------------------------ Dockerfile


def test_the_base_has_a_tag_and_a_python_that_the_package_takes():
    base = ARGUMENTS["PYTHON_IMAGE"]
    version = re.fullmatch(r"docker\.io/library/python:(3\.\d+)-slim-\w+", base)
    assert version is not None and version[1] in SpecifierSet(PROJECT["requires-python"])
    assert {stage.base for stage in STAGES} == {"${PYTHON_IMAGE}"}, "what one stage compiles, another one runs"


def test_nobody_in_the_container_is_root():
    user, group = FINAL.last("USER").split(":")
    assert int(user) >= 10_000 and int(group) >= 10_000, "a number, which Kubernetes can tell from root"
    after = FINAL.steps[FINAL.steps.index(("USER", f"{user}:{group}")) :]
    assert not [rest for word, rest in after if word in ("RUN", "COPY")]
    assert re.search(rf"install --directory --owner {user} --group {group} --mode 0700 /data\b", FINAL.steps[0][1])


def test_nothing_comes_from_an_address_but_packages():
    words = {word for stage in STAGES for word, _ in stage.steps}
    assert "ADD" not in words
    runs = " ".join(rest for stage in STAGES for word, rest in stage.steps if word == "RUN")
    assert not re.search(r"curl|wget|https?://|apt-get|git ", runs)
    last = " ".join(rest for word, rest in FINAL.steps if word == "RUN")
    assert re.findall(r"install [^&]*whosings\[", last) and "--no-index" in last, "nothing is fetched in the last stage"


def test_what_is_copied_is_there_and_sent():
    names = {name for stage in STAGES for name in _copied(stage)}
    assert {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "whosings", "beetsplug"} == names
    for name in names:
        place = ROOT / name
        files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
        paths = [path.relative_to(ROOT).as_posix() for path in files]
        assert paths
        unsent = {path for path in paths if not _is_sent(path)}
        assert unsent == {path for path in paths if "__pycache__" in path}


@pytest.mark.parametrize(
    "path",
    [
        "singers.gallery",
        "whosings-tokens.toml",
        ".git/config",
        ".venv/bin/python",
        "songs/a.flac",
        "tests/a.py",
        "whosings/__pycache__/cli.cpython-311.pyc",
        "whosings/library/__pycache__/scan.cpython-311.pyc",
    ],
)
def test_what_is_private_or_large_or_made_here_is_not_sent(path):
    assert not _is_sent(path)


def test_torch_is_one_that_the_package_takes():
    (version,) = [rest.split("=")[1] for word, rest in STAGES[0].steps if word == "ARG" and "VERSION" in rest]
    (torch,) = [one for one in map(Requirement, PROJECT["dependencies"]) if one.name == "torch"]
    assert version in torch.specifier


def test_the_requirements_are_those_of_the_package_and_of_the_extras():
    """The program in the Dockerfile that reads them, run as it stands there."""
    (run,) = [rest for word, rest in STAGES[0].steps if "tomllib" in rest]
    program = shlex.split(run[run.index("python -c") :])[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    extras = PROJECT["optional-dependencies"]
    assert done.stdout.splitlines() == [*PROJECT["dependencies"], *extras["serve"], *extras["m4a"]]


def test_labels_say_what_the_package_says():
    labels = dict(pair.split("=", 1) for pair in shlex.split(FINAL.last("LABEL")))
    known = {name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()}
    assert known["version"] == __version__ and known["licenses"] == PROJECT["license"]
    assert known["title"] == PROJECT["name"] and known["vendor"] == PROJECT["authors"][0]["name"]


# ------------------------------------------------------------------ its command, and the look at its health


def _command() -> dict[str, Any]:
    """Options of ``whosings serve`` as the command line reads the container's command."""
    assert FINAL.words("ENTRYPOINT") == ["whosings"]
    verb, *words = FINAL.words("CMD")
    return dict(typer.main.get_command(build_app()).commands[verb].make_context(verb, words).params)


def test_the_command_is_one_of_whosings():
    given = _command()
    assert given["host"] == "0.0.0.0" and given["tokens"] is not None
    assert given["port"] == int(FINAL.last("EXPOSE"))
    assert FINAL.last("STOPSIGNAL") == "SIGTERM"


class _Health(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def _answering(status: int) -> Iterator[int]:
    handler = type("_Handler", (_Health,), {"status": status})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def _look(port: int) -> int:
    """The container's look at its health, at another port, where a proxy is set; its exit code."""
    python, *words = FINAL.words("HEALTHCHECK")
    assert python == "python"
    address = f"http://127.0.0.1:{FINAL.last('EXPOSE')}/healthz"
    assert address in words[-1]
    words[-1] = words[-1].replace(address, f"http://127.0.0.1:{port}/healthz")
    variables = {**os.environ, "http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    return subprocess.run([sys.executable, *words], env=variables, capture_output=True, check=False).returncode


def test_health_is_told_from_illness():
    with _answering(200) as port:
        assert _look(port) == 0
    with _answering(503) as port:
        assert _look(port) == 1
    assert _look(port) == 1, "nobody answers"


@pytest.mark.slow
def test_the_command_starts_is_healthy_and_ends_when_it_is_asked_to(tmp_path):
    """As in the container, with its variables; folders and port are others."""
    pytest.importorskip("fastapi", reason="needs the serve extra")
    from whosings.service.tokens import Scope, add_token

    add_token(tmp_path / "whosings_tokens", "ann", [Scope.READ])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    moved = {"/data": str(tmp_path), "/run/secrets": str(tmp_path), "0.0.0.0": "127.0.0.1"}
    words = [re.sub("|".join(moved), lambda found: moved[found[0]], word) for word in FINAL.words("CMD")]
    words[words.index("--port") + 1] = str(port)
    here = {name: value.replace("/data", str(tmp_path)) for name, value in FINAL.environment.items() if name != "PATH"}
    environment = {**os.environ, **here, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "whosings", *words], cwd=tmp_path, env=environment)
    try:
        until = time.monotonic() + 90
        while _look(port) and time.monotonic() < until:
            assert process.poll() is None
        assert _look(port) == 0
        process.send_signal(getattr(signal, FINAL.last("STOPSIGNAL")))
        assert process.wait(45) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "service").is_dir() and (tmp_path / "singers.gallery").is_file()


# ------------------------------------------------------------------ compose.yaml

TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
WITH_PROXY = yaml.safe_load(re.sub(r"^  # (proxy:|certificates:|  )", r"  \1", TEXT, flags=re.MULTILINE))
SERVICES = [COMPOSE["services"]["whosings"], WITH_PROXY["services"]["proxy"]]


@pytest.mark.parametrize("service", SERVICES, ids=["whosings", "proxy"])
def test_services_may_do_little(service):
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", ())) <= {"NET_BIND_SERVICE"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"] and service["pids_limit"] and "privileged" not in service
    (tmp,) = service["tmpfs"]
    assert re.match(r"/tmp:size=\d+m\b", tmp)


def test_the_service_is_for_this_machine_alone():
    port = FINAL.last("EXPOSE")
    assert SERVICES[0]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert "network_mode" not in SERVICES[0]
    assert f"--to whosings:{port}" in SERVICES[1]["command"]


def test_what_is_kept_lies_in_the_volume_and_the_secret_is_the_commands():
    given = _command()
    (name, folder) = SERVICES[0]["volumes"][0].split(":")
    assert name in COMPOSE["volumes"]
    for place in (given["gallery"], given["library"], given["data"], Path(FINAL.environment["TMPDIR"])):
        assert place.is_relative_to(folder)
    (secret,) = SERVICES[0]["secrets"]
    assert given["tokens"] == Path("/run/secrets") / secret and "file" in COMPOSE["secrets"][secret]
    assert {volume.split(":")[0] for volume in SERVICES[1]["volumes"]} <= set(WITH_PROXY["volumes"])


def test_answers_on_their_way_have_time():
    pytest.importorskip("uvicorn", reason="needs the serve extra")
    from whosings.service import server

    assert SERVICES[0]["init"] is True
    assert int(SERVICES[0]["stop_grace_period"].removesuffix("s")) > server._GRACE_S
