"""The long mixed load of `service.py`: everything that clients do, and what befalls processes, for half an hour.

Clients ask who sings, for evidence, whether two clips have one singer, enrol and forget, fill and search the library,
have long songs worked on as jobs, send what is no recording, send slowly, and go away in the middle. Every good answer
is compared with what is known of the clip. Meanwhile processes that decode are killed. At the end nothing may be left:
no request, no job, no file. Then the service itself is killed in the middle of a job, which the next one does.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import measure
import numpy as np
from served import Clip, Running, as_file, clips_of, name_of, recorded

from whosings.audio import SAMPLE_RATE

SINGERS = 5
STRANGER = SINGERS  # who is enrolled and forgotten again
SETTINGS = ("--set", "answer_at_once_s=60", "--set", "idle_s=5", "--set", "upload_s=40")
KILL_S = (10.0, 20.0)  # between two killings
SAMPLE_S = 10.0
WAIT_S = 900.0  # for jobs to end
BAD = {
    "noise.mp3": os.urandom(40_000),
    "text.wav": b"this is no sound at all\n" * 500,
    "empty.flac": b"",
    "page.ogg": b"OggS" + bytes(3000),
}
PAGES = ("/", "/healthz", "/readyz", "/metrics", "/v1/about", "/v1/singers", "/v1/library", "/v1/jobs", "/openapi.json")
FINE = {200, 202, 204, 206}


@dataclass
class Found:
    """What the load has seen; guarded by ``lock``."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    statuses: Counter[tuple[str, object]] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    broken: Counter[str] = field(default_factory=Counter)
    killed: int = 0
    memory: list[tuple[float, float, float, int]] = field(default_factory=list)

    def saw(self, deed: str, status: object) -> None:
        """Count an answer."""
        with self.lock:
            self.statuses[deed, status] += 1

    def check(self, deed: str, right: bool, about: object = "") -> None:
        """Count a look at an answer."""
        with self.lock:
            self.checked[deed] += 1
            if not right:
                self.wrong.append(f"{deed}: {about}"[:300])


class Client(threading.Thread):
    """Somebody who asks one thing after another."""

    def __init__(self, number: int, service: Running, clips: list[Clip], song: bytes, found: Found) -> None:
        super().__init__(name=f"client {number}")
        self._number, self._service, self._clips, self._song, self._found = number, service, clips, song, found
        self._random = random.Random(number)
        self._line = httpx2.Client(base_url=service.address, timeout=300)
        self._ended, self._turn = threading.Event(), 0
        self._own = recorded(STRANGER, 1 + number, 16.0).vocals[: 8 * SAMPLE_RATE]

    def stop(self) -> None:
        """Let it finish what it is at."""
        self._ended.set()

    def run(self) -> None:
        """Ask until somebody stops it."""
        deeds: dict[Callable[[], None], float] = {
            self.identify: 40,
            self.evidence: 8,
            self.verify: 8,
            self.enrol: 5,
            self.library: 7,
            self.search: 6,
            self.job: 1.5,
            self.bad: 6,
            self.pages: 12,
            self.slow: 2,
            self.stalled: 1,
            self.aborted: 3,
            self.unheard: 1,
        }
        while not self._ended.is_set():
            self._turn += 1
            deed = self._random.choices(list(deeds), list(deeds.values()))[0]
            try:
                deed()
            except (httpx2.TransportError, OSError) as error:
                with self._found.lock:
                    self._found.broken[f"{deed.__name__}: {type(error).__name__} {error}"[:150]] += 1
        self._line.close()

    # ------------------------------------------------------------------ what it does

    def ask(self, deed: str, method: str, path: str, **given: Any) -> httpx2.Response | None:
        """The answer; None where it was no good one, which is counted. A busy service is asked again."""
        while True:
            answer = self._line.request(method, path, **given)
            self._found.saw(deed, answer.status_code)
            if answer.status_code != 503:
                break
            self._found.check("503 says when to come again", "retry-after" in answer.headers, answer.text)
            if self._ended.wait(1.0):
                return None
        if answer.status_code in FINE:
            return answer
        self._found.check(deed, False, f"{answer.status_code} {answer.text}")
        return None

    def clip(self) -> Clip:
        """Any clip."""
        return self._random.choice(self._clips)

    def identify(self) -> None:
        """Who sings a clip."""
        clip = self.clip()
        answer = self.ask("identify", "POST", "/v1/identify", files={"file": (clip.name, clip.content)})
        if answer is not None:
            self._found.check("identify", first_of(answer.json()) == clip.singer, f"{clip.name}: {answer.text}")

    def evidence(self) -> None:
        """Who sings a clip, why, and how that sounds."""
        clip = self.clip()
        answer = self.ask("evidence", "POST", "/v1/evidence", files={"file": (clip.name, clip.content)})
        if answer is None:
            return
        said = answer.json()
        self._found.check("evidence", first_of(said["answer"]) == clip.singer, f"{clip.name}: {answer.text}")
        for voice in said["evidence"]["voices"][:1]:
            match = voice["matches"][0]
            query = {"name": voice["singer"], "sha256": match["sha256"], **match["enrolled"]}
            sound = self.ask("clip", "GET", "/v1/singers/clip", params=query)
            if sound is not None:
                self._found.check("clip", sound.content[:4] == b"fLaC", sound.content[:40])

    def verify(self) -> None:
        """Whether a clip and another of the same singer have one."""
        clip = self.clip()
        other = self._random.choice([one for one in self._clips if one.singer == clip.singer])
        files = {"first": (clip.name, clip.content), "second": (other.name, other.content)}
        answer = self.ask("verify", "POST", "/v1/verify", files=files)
        if answer is not None:
            self._found.check("verify", answer.json()["probability"] > 0.5, answer.text)

    def enrol(self) -> None:
        """Enrol somebody, look, and forget."""
        name = f"guest {self._number} {self._turn}"
        keep = self._random.choice(["true", "false"])
        file = {"file": (f"{name}.wav", self._unique())}
        answer = self.ask("enrol", "POST", "/v1/enrol", data={"singer": name, "keep": keep}, files=file)
        if answer is None:
            return
        self._found.check("enrol", answer.json()["added"], answer.text)
        listed = self.ask("list", "GET", "/v1/singers/recordings", params={"name": name})
        if listed is not None:
            row = listed.json()["recordings"][0]
            self._found.check("list", row["playable"] == (keep == "true"), listed.text)
        self.ask("forget", "DELETE", "/v1/singers", params={"name": name})

    def library(self) -> None:
        """Put something into the library, look for it, and take it out."""
        name = f"song {self._number} {self._turn}.wav"
        answer = self.ask("add", "POST", "/v1/library", files={"file": (name, self._unique())})
        if answer is None:
            return
        number = answer.json()["recording"]
        page = self.ask("library", "GET", "/v1/library", params={"q": name})
        if page is not None:
            self._found.check("library", [row["recording"] for row in page.json()["recordings"]] == [number], page.text)
        self.ask("like it", "GET", "/v1/library/search", params={"recording": number})
        self.ask("sound", "GET", f"/v1/library/recordings/{number}/audio", headers={"Range": "bytes=0-99"})
        self.ask("take out", "DELETE", f"/v1/library/recordings/{number}")

    def search(self) -> None:
        """Look for a singer, and for the voice of a clip."""
        self.ask("search", "GET", "/v1/library/search", params={"singer": name_of(self._random.randrange(SINGERS))})
        clip = self.clip()
        self.ask("search with", "POST", "/v1/library/search", files={"file": (clip.name, clip.content)})

    def job(self) -> None:
        """Have a long song worked on, and follow how far that is."""
        answer = self.ask("job", "POST", "/v1/identify", files={"file": ("long.mp3", self._song)})
        if answer is None:
            return
        self._found.check("job", answer.status_code == 202, answer.text)
        id, last, events = answer.json()["id"], None, 0
        with self._line.stream("GET", f"/v1/jobs/{id}/events") as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    events, last = events + 1, json.loads(line.removeprefix("data:"))
        done = last is not None and last["state"] == "done" and first_of(last["result"]) == name_of(0)
        self._found.check("job's result", done and events > 1, last)
        self.ask("forget job", "DELETE", f"/v1/jobs/{id}")

    def bad(self) -> None:
        """Send what is no recording."""
        name, content = self._random.choice(list(BAD.items()))
        if self._random.random() < 0.3:
            name, content = "cut.flac", self.clip().content[: self._random.randrange(20, 20_000)]
        answer = self._line.post("/v1/identify", files={"file": (name, content)})
        self._found.saw("bad file", answer.status_code)
        cut = name == "cut.flac"
        right = answer.status_code in ({200, 422, 503} if cut else {422, 503})
        self._found.check("bad file", right, f"{name}: {answer.status_code} {answer.text}")

    def pages(self) -> None:
        """Look at the page, and whether the service is well."""
        self.ask("page", "GET", self._random.choice(PAGES))

    def slow(self) -> None:
        """Send slowly, but not too slowly."""
        clip = self.clip()
        status = self._raw(clip.content, lambda part: time.sleep(0.4), parts=16)
        self._found.saw("slow", status)
        self._found.check("slow", status in (200, 503), status)

    def stalled(self) -> None:
        """Send a half, and wait."""
        status = self._raw(self.clip().content, lambda part: None, parts=16, stop_at=8, listen=True)
        self._found.saw("stalled", status)
        self._found.check("stalled", status in (408, 503), status)

    def aborted(self) -> None:
        """Send a part, and go away."""
        self._raw(self.clip().content, lambda part: None, parts=16, stop_at=self._random.randrange(1, 16))
        self._found.saw("went away", "-")

    def unheard(self) -> None:
        """Send everything, and go away without listening."""
        self._raw(self.clip().content, lambda part: None, parts=16, listen=False)
        self._found.saw("went away at last", "-")

    def _raw(
        self,
        content: bytes,
        between: Callable[[int], None],
        parts: int,
        stop_at: int | None = None,
        listen: bool | None = None,
    ) -> int:
        """Send a file in parts; the status, or 0 where nobody listens."""
        address = httpx2.URL(self._service.address)
        listen = stop_at is None if listen is None else listen
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.flac"\r\n\r\n'
        body = head + content + b"\r\n--x--\r\n"
        request = (
            f"POST /v1/identify HTTP/1.1\r\nHost: localhost:{address.port}\r\nConnection: close\r\n"
            f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((address.host, address.port), timeout=300) as line:
            line.sendall(request.encode())
            for part in range(parts if stop_at is None else stop_at):
                line.sendall(body[part * len(body) // parts : (part + 1) * len(body) // parts])
                between(part)
            if not listen:
                return 0
            with line.makefile("rb") as answer:
                first = answer.readline()
                answer.read()
        return int(first.split()[1]) if first else -1

    def _unique(self) -> bytes:
        """A recording that nobody else sends."""
        samples = self._own.copy()
        samples[-64:] = np.random.default_rng([self._number, self._turn]).uniform(-0.01, 0.01, 64)
        return as_file(samples, "WAV")


def first_of(answer: dict[str, Any]) -> str:
    """The singer whom an answer names first."""
    return str(answer["top"][0]["singer"]) if answer["top"] else ""


def run(encoder: str, minutes: float, clients: int) -> dict[str, float | str | bool | None]:
    """All of it; says at the end what was wrong."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        service = Running(folder, encoder, *SETTINGS)
        try:
            clips, song = prepare(service, folder)
            at_rest = service.open_files(), len(singers_of(service))
            found = load(service, clips, song, minutes, clients)
            faults = report(service, found)
            faults += left(service, at_rest)
            faults += killed_in_the_middle(service, encoder, song)
        except httpx2.TransportError:
            print(f"the service: {service.process.poll()}, {service.log.read_text()[-3000:]}")
            raise
        finally:
            if service.process.poll() is None:
                service.stop()
    for fault in faults:
        print(f"WRONG: {fault}")
    beyond = [row for row in found.memory if row[0] >= minutes * 40]  # until then caches fill
    slopes = [float(np.polyfit([row[0] / 3600 for row in beyond], [row[n] for row in beyond], 1)[0]) for n in (1, 2)]
    print(f"memory of the last third: {slopes[0]:+.0f} MB an hour, of all processes {slopes[1]:+.0f} MB an hour\n")
    return {
        "minutes": minutes,
        "requests": float(sum(found.statuses.values())),
        "checked": float(sum(found.checked.values())),
        "killed": float(found.killed),
        "wrong": float(len(faults)),
        "service_mb_an_hour": slopes[0],
        "all_mb_an_hour": slopes[1],
    }


def prepare(service: Running, folder: Path) -> tuple[list[Clip], bytes]:
    """Enrol singers; clips whose singer a quiet service names first, and a long song of singer 0."""
    with httpx2.Client(base_url=service.address, timeout=300) as line:
        for singer in range(SINGERS):
            files = {"file": (f"{singer}.flac", as_file(recorded(singer, 0, 45.0).vocals, "FLAC"))}
            form = {"singer": name_of(singer), "keep": "true"}
            line.post("/v1/enrol", data=form, files=files).raise_for_status()
        made = [clip for singer in range(SINGERS) for seconds in (4.0, 8.0) for clip in clips_of(singer, seconds, 4)]
        clips = []
        for clip in made:
            said = line.post("/v1/identify", files={"file": (clip.name, clip.content)}).raise_for_status().json()
            if first_of(said) == clip.singer and said["top"][0]["probability"] > 0.5:
                clips.append(clip)
    print(f"{len(clips)} of {len(made)} clips are told right at rest; these are asked\n")
    return clips, long_song(folder, recorded(0, 1, 180.0).vocals)


def long_song(folder: Path, voice: np.ndarray) -> bytes:
    """An MP3."""
    import soundfile

    path = folder / "long.mp3"
    soundfile.write(path, voice, SAMPLE_RATE)
    return path.read_bytes()


def load(service: Running, clips: list[Clip], song: bytes, minutes: float, clients: int) -> Found:
    """The mixed load, with killings."""
    found, began = Found(), time.monotonic()
    people = [Client(number, service, clips, song, found) for number in range(clients)]
    for person in people:
        person.start()
    fate, next_kill, next_sample = random.Random(0), began + KILL_S[0], began
    while (now := time.monotonic()) < began + 60 * minutes:
        if now >= next_kill:
            next_kill = now + fate.uniform(*KILL_S)
            children = service.children()
            for child in fate.sample(children, min(len(children), fate.choice([1, 1, 2]))):
                os.kill(child, signal.SIGKILL)
                found.killed += 1
        if now >= next_sample:
            next_sample = now + SAMPLE_S
            found.memory.append((now - began, *service.memory_mb(), service.open_files()))
        if service.process.poll() is not None:
            found.wrong.append("the service ended")
            break
        time.sleep(0.2)
    for person in people:
        person.stop()
    for person in people:
        person.join()
    return found


def report(service: Running, found: Found) -> list[str]:
    """Tables of what was seen, and what was wrong."""
    deeds = sorted({deed for deed, _ in found.statuses})
    statuses = sorted({status for _, status in found.statuses}, key=str)
    measure.table(
        ["answers", *statuses], [[deed, *(found.statuses[deed, one] or "" for one in statuses)] for deed in deeds]
    )
    memory = [row for number, row in enumerate(found.memory) if number % round(60 / SAMPLE_S) == 0]
    measure.table(
        ["minute", "service MB", "all processes MB", "open files"],
        [[round(row[0] / 60), *map(round, row[1:3]), row[3]] for row in memory],
    )
    wrong, faults = Counter(found.wrong), [line for line in service.lines() if line["event"] == "fault"]
    told = [f"{count}x {what}" for what, count in wrong.most_common(20)]
    told += [f"{count}x broken: {what}" for what, count in found.broken.most_common(20)]
    told += [f"{count}x {deed} answered {status}" for (deed, status), count in found.statuses.items() if worse(status)]
    told += [f"a fault in the log: {fault}" for fault in faults[:5]]
    logged = Counter(line["status"] for line in service.lines() if line["event"] == "request")
    told += [f"{count}x status {status} in the log" for status, count in logged.items() if worse(status)]
    total, looked = sum(found.statuses.values()), sum(found.checked.values())
    print(f"{total} requests, {looked} answers looked at, {found.killed} kills")
    print(f"looked at: {dict(found.checked)}\nin the log: {dict(logged)}\n")
    return told


def worse(status: object) -> bool:
    """Whether no client should ever see it."""
    return isinstance(status, int) and (status >= 500 and status != 503)


def left(service: Running, at_rest: tuple[int, int]) -> list[str]:
    """What is left after the load that should not be."""
    until = time.monotonic() + WAIT_S
    while (waiting := unfinished(service)) and time.monotonic() < until:
        time.sleep(1.0)
    time.sleep(25.0)  # connections that clients left open are closed
    told = [f"{waiting} jobs are not done"] if waiting else []
    for place in ("work", "waiting"):
        told += [f"{place} holds {path.name}" for path in (service.data / place).iterdir()]
    kept = len(list((service.data / "recordings").iterdir()))
    if kept != SINGERS:
        told.append(f"{kept} recordings are kept and not {SINGERS}")
    files, singers = service.open_files(), len(singers_of(service))
    if singers != at_rest[1]:
        told.append(f"{singers} singers are enrolled, {at_rest[1]} were")
    if files > at_rest[0] + 5:
        told.append(f"{files} files are open, {at_rest[0]} were")
    print(f"open files: {at_rest[0]} before, {files} after; {service.memory_mb()[0]:.0f} MB at the end")
    return told


def unfinished(service: Running) -> int:
    """How many jobs wait or run."""
    jobs = httpx2.get(f"{service.address}/v1/jobs", timeout=60).json()["jobs"]
    return sum(job["state"] in ("waiting", "running") for job in jobs)


def singers_of(service: Running) -> list[str]:
    """Who is enrolled."""
    found = httpx2.get(f"{service.address}/v1/singers", params={"limit": 500}, timeout=60).json()["singers"]
    return [singer["name"] for singer in found]


def killed_in_the_middle(service: Running, encoder: str, song: bytes) -> list[str]:
    """Kill the service at a job, and start another one: the job is done."""
    files = {"file": ("long.mp3", song)}
    id = httpx2.post(f"{service.address}/v1/identify", files=files, timeout=300).raise_for_status().json()["id"]
    while httpx2.get(f"{service.address}/v1/jobs/{id}", timeout=60).json()["state"] == "waiting":
        time.sleep(0.02)
    time.sleep(0.3)
    children = service.children()
    service.kill()
    until = time.monotonic() + 30
    while (orphans := [pid for pid in children if Path(f"/proc/{pid}").exists()]) and time.monotonic() < until:
        time.sleep(0.2)
    told = [f"process {pid} lives on without its service" for pid in orphans]
    again = Running(service.folder, encoder, *SETTINGS)
    service.process, service.address = again.process, again.address
    until = time.monotonic() + WAIT_S
    while True:
        job = httpx2.get(f"{again.address}/v1/jobs/{id}", timeout=60).json()
        if job["state"] in ("done", "failed") or time.monotonic() > until:
            break
        time.sleep(0.2)
    if job["state"] != "done" or first_of(job["result"]) != name_of(0):
        told.append(f"the job of a killed service: {job}")
    told += [f"work holds {path.name}" for path in (service.data / "work").iterdir()]
    print(f"after kill -9 in the middle of a job, the next service says: {job['state']}")
    return told
