"""The page of the service, in a real browser against a real service."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi")
sync_api = pytest.importorskip("playwright.sync_api")

from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from playwright.sync_api import Browser, Page, Route, expect  # noqa: E402

from tests.conftest import RATE, singing  # noqa: E402
from tests.service import browser as chromium  # noqa: E402
from tests.service.page_visit import FLAGS, Service, Visit, drop, served  # noqa: E402
from whosings.answer import Answer, Candidate, Outcome, Terms, Verdict, Voice  # noqa: E402
from whosings.answer_text import verdict_line  # noqa: E402
from whosings.console import json_text  # noqa: E402
from whosings.diarization import Span  # noqa: E402
from whosings.safe_text import printable  # noqa: E402

pytestmark = pytest.mark.slow

SONG_S = 6.0
HOSTILE = ('<img src=x onerror="alert(1)">', "<script>alert(2)</script>", "فيروز", "W" * 200)
TURNED = "gnp\u202eyellor"
VIEWS = ("identify", "verify", "singers", "library", "find", "groups", "review", "review/history")
Songs = dict[str, Path]
Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Songs:
    """Songs of generated singers ``a`` to ``f``, three of each, ``a-1`` to ``f-3``; ``duet`` is of ``a`` and ``b``.

    The songs of ``f`` are so alike, and so unlike all others, that they are one group whatever a processor rounds.
    """
    folder = tmp_path_factory.mktemp("songs")
    size = round(SONG_S * RATE)
    whole = {name: singing(3 * SONG_S, seed) for name, seed in zip("abcdef", (1, 2, 3, 4, 5, 16), strict=True)}
    cut = {f"{name}-{n + 1}": sound[n * size : (n + 1) * size] for name, sound in whole.items() for n in range(3)}
    cut["duet"] = np.concatenate([cut["a-3"], cut["b-3"]])
    for name, sound in cut.items():
        soundfile.write(folder / f"{name}.flac", sound, RATE)
    (folder / "broken.flac").write_bytes(b"no sound at all")
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, songs: Songs) -> Iterator[Service]:
    """A service where Ada is singer ``a`` and Bram is ``b``; what is longer than a song becomes a job."""
    with served(tmp_path_factory.mktemp("service"), "--set", "answer_at_once_s=10") as running:
        running.enrol("Ada", songs["a-1"], songs["a-2"])
        running.enrol("Bram", songs["b-1"], songs["b-2"])
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium.find()
    if path is None:
        pytest.skip("there is no Chromium, neither installed nor Playwright's")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[Open]:
    """Open the page at a view; at the end nothing went wrong in it, and nobody else was asked."""
    visits: list[Visit] = []

    def open_page(view: str = "identify", address: str = service.address, refusals: bool = False, **look: Any) -> Visit:
        size = {"width": look.pop("width", 1280), "height": look.pop("height", 800)}
        page = browser.new_context(viewport=size, **look).new_page()
        page.set_default_timeout(15_000)
        made = Visit(page, refusals)
        visits.append(made)
        made.watch(address)
        page.goto(f"{address}#/{view}")
        expect(page.locator("h1")).to_be_visible()
        return made

    yield open_page
    for made in visits:
        made.page.context.close()
    assert [wrong for made in visits for wrong in made.wrong] == []


def _identify(page: Page, *paths: Path) -> None:
    page.get_by_label("Choose files").set_input_files(list(paths))


# ---------------------------------------------------------------------- identify


def test_a_song_is_answered_played_confirmed_and_found_in_the_history(visit: Open, songs: Songs) -> None:
    seen = visit()
    page = seen.page
    _identify(page, songs["a-3"])
    song = page.get_by_role("region", name="a-3.flac")
    expect(song.locator("h3.verdict")).to_have_text(re.compile(r"^Ada \(\d+%\)$"))
    expect(page.get_by_role("status").first).to_contain_text("a-3.flac: Ada")
    meaning = song.get_by_role("region", name="What this answer means")
    expect(meaning).to_contain_text("This is an indication from a statistical model, not a proof of who sings")
    expect(meaning).to_contain_text("% of strangers would be given a name, too")
    expect(song.get_by_role("row", name=re.compile("^Bram"))).to_be_visible()

    seen.play(song.get_by_role("button", name="Play", exact=True))
    seen.play(song.get_by_role("button", name="Play the passage in this song").first)
    seen.play(song.get_by_role("button", name=re.compile("^Play the enrolled passage of Ada")).first)
    playing = "() => [...document.querySelectorAll('audio')].filter((one) => !one.paused).length"
    assert page.evaluate(playing) == 1, "one sound at a time"

    expect(song).to_contain_text("A decision keeps this song in the library")
    song.get_by_role("button", name=re.compile("^Confirm that")).click()
    expect(song.get_by_text("Confirmed: Ada")).to_be_visible()
    page.get_by_role("link", name="Review").click()
    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("listitem").filter(has_text="a-3.flac")).to_contain_text("Confirmed: Ada")


def test_voices_of_a_duet_have_spans_that_play_and_are_found_again_in_the_library(
    visit: Open, songs: Songs, service: Service
) -> None:
    seen = visit()
    page = seen.page
    _identify(page, songs["duet"])
    song = page.get_by_role("region", name="duet.flac")
    bram = song.get_by_role("listitem").filter(has=page.get_by_role("heading", name="Bram", exact=True))
    spans = bram.get_by_role("list", name="Where Bram is heard")
    assert seen.play(spans.get_by_role("button").first) > SONG_S - 2, "the second half"
    bram.get_by_role("button", name=re.compile("^Somebody else")).click()
    page.get_by_role("dialog").get_by_label("Singer").fill("Bruno")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(bram.get_by_text("It is Bruno")).to_be_visible()
    with service.client() as client:
        (row,) = client.get("/v1/library", params={"q": "duet"}).json()["recordings"]
        kept = client.get(f"/v1/library/recordings/{row['recording']}").json()
    (decided,) = [voice for voice in kept["voices"] if voice["decision"]]
    assert decided["decision"]["singer"] == "Bruno" and decided["spans"][0]["start_s"] > SONG_S - 2

    page.goto(f"{service.address}#/library/{row['recording']}")
    expect(page.get_by_text("It is Bruno", exact=True)).to_be_visible()
    seen.play(page.get_by_role("button", name="Play", exact=True))


def test_several_files_are_answered_one_after_the_other_and_a_broken_one_does_not_stop_them(
    visit: Open, songs: Songs
) -> None:
    seen = visit(refusals=True)
    page = seen.page
    now, most = 0, 0

    def counted(route: Route) -> None:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        answer = route.fetch()
        now -= 1
        route.fulfill(response=answer)

    page.route("**/v1/evidence", counted)
    drop(page.locator(".drop"), [songs["a-3"], songs["broken"]])
    drop(page.locator(".drop"), [songs["b-3"]])
    expect(page.get_by_role("region", name="b-3.flac")).to_contain_text(re.compile(r"Bram \(\d+%\)"))
    expect(page.get_by_role("region", name="a-3.flac")).to_contain_text(re.compile(r"Ada \(\d+%\)"))
    broken = page.get_by_role("region", name="broken.flac")
    expect(broken.get_by_role("alert")).to_contain_text("broken.flac: ")
    assert most == 1
    broken.get_by_role("button", name="Remove broken.flac").click()
    expect(broken).to_have_count(0)


def test_what_takes_long_is_a_job_that_outlives_a_reload(visit: Open, songs: Songs) -> None:
    seen = visit()
    page = seen.page
    page.route("**/v1/jobs/*/events", lambda route: None)  # it never comes
    _identify(page, songs["duet"])
    page.wait_for_function("() => (sessionStorage.getItem('whosings.jobs') ?? '[]').includes('duet.flac')")
    page.unroute("**/v1/jobs/*/events")
    page.reload()
    song = page.get_by_role("region", name="duet.flac")
    expect(song.locator("h3.verdict")).to_contain_text("Bram")
    expect(song.get_by_role("button", name="Play", exact=True)).to_be_disabled()
    song.get_by_label("Choose duet.flac again").set_input_files(songs["duet"])
    seen.play(song.get_by_role("button", name="Play", exact=True))


def test_a_job_tells_how_far_it_is_and_is_taken_back(visit: Open, songs: Songs, service: Service) -> None:
    page = visit().page
    told = json.dumps({"id": "x", "state": "running", "stage": "hearing", "done": 3, "steps": 4, "result": None})
    events = f"id: 1\nevent: progress\ndata: {told}\n\n"
    page.route("**/events", lambda route: route.fulfill(content_type="text/event-stream", body=events))
    _identify(page, songs["duet"])
    song = page.get_by_role("region", name="duet.flac")
    expect(song).to_contain_text("Hearing … 75%")
    with page.expect_response(lambda response: response.request.method == "DELETE") as gone:
        song.get_by_role("button", name="Cancel duet.flac").click()
    assert gone.value.status == 204
    expect(song).to_have_count(0)


def test_what_the_browser_cannot_play_is_answered_and_said_to_be_silent(
    visit: Open, songs: Songs, tmp_path: Path
) -> None:
    """No Chromium plays AIFF."""
    sound, rate = soundfile.read(songs["a-3"])
    soundfile.write(tmp_path / "tape.aiff", sound, rate)
    page = visit().page
    _identify(page, tmp_path / "tape.aiff")
    song = page.get_by_role("region", name="tape.aiff")
    expect(song.locator("h3.verdict")).to_contain_text("Ada")
    expect(song).to_contain_text("This browser cannot play this kind of file.")
    expect(song.get_by_role("button", name="Play", exact=True)).to_be_disabled()
    expect(song.get_by_role("button", name=re.compile("^Play Ada, ")).first).to_be_disabled()
    expect(song.get_by_role("button", name=re.compile("^Play the enrolled passage")).first).to_be_enabled()


def test_a_busy_service_is_asked_again_by_a_button(visit: Open, songs: Songs) -> None:
    page = visit(refusals=True).page
    sentence = "The service has as much to do as it takes; ask again soon."
    problem = json.dumps({"title": "Busy", "status": 503, "detail": sentence, "request_id": "x"})
    busy = {"status": 503, "headers": {"Retry-After": "7"}, "content_type": "application/problem+json"}
    page.route("**/v1/evidence", lambda route: route.fulfill(body=problem, **busy), times=1)
    _identify(page, songs["a-3"])
    song = page.get_by_role("region", name="a-3.flac")
    expect(song.get_by_role("alert")).to_contain_text(f"{sentence} It may work in 7 s.")
    song.get_by_role("button", name="Try again").click()
    expect(song.locator("h3.verdict")).to_contain_text("Ada")


def test_two_songs_of_one_singer_are_told_from_two_of_two(visit: Open, songs: Songs) -> None:
    page = visit("verify").page
    page.get_by_label("Choose the first song").set_input_files(songs["a-1"])
    page.get_by_label("Choose the second song").set_input_files(songs["a-3"])
    page.get_by_role("button", name="Compare").click()
    result = page.get_by_role("region", name="Result")
    expect(result.get_by_role("heading", name="one singer", exact=True)).to_be_visible()
    expect(result).to_contain_text("not a proof of who sings")
    page.get_by_label("Choose the second song").set_input_files(songs["b-3"])
    page.get_by_role("button", name="Compare").click()
    expect(result.get_by_role("heading", name="not certain enough to call it one singer")).to_be_visible()


# ---------------------------------------------------------------------- singers


def test_singers_are_enrolled_by_dropping_renamed_merged_and_deleted(visit: Open, songs: Songs) -> None:
    seen = visit("singers")
    page = seen.page
    page.get_by_label("Name", exact=True).fill("Cleo")
    page.get_by_label(re.compile("^Keep the sound")).check()
    drop(page.get_by_role("region", name="New singer"), [songs["c-1"]])
    card = page.locator(".singer").filter(has=page.get_by_role("heading", name="Cleo", exact=True))
    expect(card).to_contain_text("1 recording")
    drop(card, [songs["c-2"]])
    expect(card).to_contain_text("2 recordings")
    seen.play(card.get_by_role("button", name=re.compile(r"^Play Cleo")).first)

    card.get_by_role("button", name="Rename Cleo").click()
    page.get_by_label("New name").fill("Cleopatra")
    page.keyboard.press("Enter")
    card = page.locator(".singer").filter(has_text="Cleopatra")
    expect(card).to_contain_text("2 recordings")

    page.get_by_label("Name", exact=True).fill("Clio")
    page.get_by_label("Choose songs of the new singer").set_input_files(songs["c-3"])
    other = page.locator(".singer").filter(has_text="Clio")
    other.get_by_role("button", name="Merge Clio").click()
    page.get_by_label("The name that stays").fill("Cleopatra")
    page.get_by_role("dialog").get_by_role("button", name="Merge").click()
    expect(other).to_have_count(0)
    expect(card).to_contain_text("3 recordings")

    card.get_by_role("button", name="Delete Cleopatra").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(card).to_be_visible()
    card.get_by_role("button", name="Delete Cleopatra").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(card).to_have_count(0)


def test_a_name_that_is_taken_is_said_in_the_dialog_which_stays(visit: Open) -> None:
    page = visit("singers", refusals=True).page
    page.get_by_role("button", name="Rename Ada").click()
    page.get_by_label("New name").fill("Bram")
    page.get_by_role("dialog").get_by_role("button", name="Rename").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("Bram")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_hostile_names_are_shown_as_text(visit: Open, songs: Songs, service: Service, tmp_path: Path) -> None:
    """Of singers and of files: no markup, no page that is wider than its window."""
    for name in HOSTILE:
        service.enrol(name, songs["d-1"])
    file = tmp_path / "<img src=x onerror=alert(3)>.flac"
    file.write_bytes(songs["d-3"].read_bytes())
    page = visit("singers", width=360, height=780).page
    for name in HOSTILE:
        expect(page.get_by_role("heading", name=name, exact=True)).to_have_count(1)
    _goes_to(page, "Identify")
    _identify(page, file)
    song = page.get_by_role("region", name=file.name)
    expect(song.locator("h3.verdict")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    song.get_by_role("button", name=re.compile("^Not sung")).first.click()
    expect(song.locator(".decided")).to_be_visible()
    _goes_to(page, "Review")
    page.get_by_role("link", name="History").click()
    expect(page.get_by_text("img src=x onerror=alert(3)")).to_be_visible()
    assert page.locator("main img, main script").count() == 0
    with service.client() as client:
        for name in HOSTILE:
            client.delete("/v1/singers", params={"name": name}).raise_for_status()


def test_a_name_that_turns_the_direction_of_writing_is_shown_as_it_is_spelt(visit: Open) -> None:
    """No service of today gives such a name; a gallery of tomorrow might."""
    page = visit().page
    rows = {"total": 1, "singers": [{"name": TURNED, "recordings": 1, "seconds": 9.0}]}
    answer = json.dumps(rows)
    page.route("**/v1/singers?*", lambda route: route.fulfill(content_type="application/json", body=answer))
    _goes_to(page, "Singers")
    expect(page.get_by_role("heading", name="gnp\\u202eyellor")).to_be_visible()


def _goes_to(page: Page, tab: str) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name=tab).click()


# ---------------------------------------------------------------------- library and review


def test_the_library_is_filtered_opened_searched_grouped_and_named(visit: Open, songs: Songs, service: Service) -> None:
    for name in ("e-1", "e-2", "e-3", "f-1", "f-2", "b-3"):
        service.keep(songs[name])
    seen = visit("library")
    page = seen.page
    rows = page.locator(".row-link")
    expect(rows.filter(has_text="e-1.flac")).to_be_visible()
    page.get_by_label("Outcome").select_option("named")
    expect(rows.filter(has_text="e-1.flac")).to_have_count(0)
    page.get_by_label("Outcome").select_option("any")
    expect(rows.filter(has_text="e-1.flac")).to_have_count(1)
    page.get_by_label("File name").fill("E-1")
    expect(rows).to_have_count(1)
    rows.first.click()
    expect(page.get_by_role("heading", name="e-1.flac")).to_be_visible()
    page.get_by_role("link", name=re.compile("^Find the voice")).click()
    found = page.locator(".match")
    expect(found.first).to_contain_text(re.compile(r"e-[23]\.flac"))
    seen.play(found.first.get_by_role("button", name=re.compile(r"^Play e-[23]\.flac")).first)

    page.get_by_label("Enrolled singer").fill("Bram")
    page.get_by_role("button", name="Find", exact=True).click()
    expect(page.get_by_role("heading", name="Songs like Bram")).to_be_visible()
    expect(found.first).to_contain_text(re.compile(r"b-3\.flac|duet\.flac"))
    page.get_by_label("Choose a clip to look for").set_input_files(songs["e-3"])
    expect(page.get_by_role("heading", name="Songs like e-3.flac")).to_be_visible()
    expect(found.first).to_contain_text(re.compile(r"e-\d\.flac"))

    page.get_by_role("link", name="Unnamed").click()
    page.get_by_role("button", name="Group anew").click()
    group = page.locator(".singer").filter(has_text="e-1.flac")
    expect(group).to_contain_text("3 recordings")
    seen.play(group.get_by_role("button", name=re.compile("^Play Group")))
    group.locator("summary").click()
    group.get_by_role("checkbox", name=re.compile("e-3.flac")).check()
    group.get_by_role("button", name="Split off what is ticked").click()
    expect(group).to_contain_text("2 recordings")
    expect(group).not_to_contain_text("e-3.flac")
    group.get_by_role("button", name=re.compile("^Name Group")).click()
    page.get_by_role("dialog").get_by_label("Singer").fill("Enid")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(group.get_by_role("heading", name="Enid")).to_be_visible()
    other = page.locator(".singer").filter(has_text="f-1.flac")
    other.get_by_role("button", name=re.compile("^Merge Group")).click()
    page.get_by_role("dialog").get_by_label("The group that stays").select_option("Enid (2 voices)")
    page.get_by_role("dialog").get_by_role("button", name="Merge").click()
    expect(group).to_contain_text("4 recordings")
    _goes_to(page, "Singers")
    expect(page.locator(".singer").filter(has_text="Enid")).to_contain_text("2 recordings")


def test_a_recording_is_deleted_from_the_library(visit: Open, songs: Songs, service: Service) -> None:
    number = service.keep(songs["c-3"], "to be gone.flac")
    page = visit(f"library/{number}").page
    page.get_by_role("button", name="Delete to be gone.flac").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Library")).to_be_visible()
    expect(page.locator(".row-link").filter(has_text="to be gone.flac")).to_have_count(0)


def test_the_queue_is_played_and_decided(visit: Open, songs: Songs, service: Service) -> None:
    """What the queue holds is made up, because clear voices never get into it; the decisions are real."""
    numbers = [service.keep(songs[name]) for name in ("d-2", "d-3")]
    with service.client() as client:
        kept = [client.get(f"/v1/library/recordings/{number}").json() for number in numbers]
    said = {"encoder": "x", "singer": "Ada", "outcome": "worth a look", "probability": 0.4, "nats": 2.0}
    said |= {"runner_up": "Bram", "runner_up_nats": 0.1, "terms": kept[0]["answer"]["terms"], "singers": 2}
    items = [
        {key: one[key] for key in ("recording", "name", "playable")}
        | {key: one["voices"][0][key] for key in ("voice", "seconds", "spans")}
        | {"why": "perhaps Ada", "said": said, "decided": None}
        for one in kept
    ]
    seen = visit()
    page = seen.page
    answer = json.dumps({"total": 2, "items": items})
    page.route("**/v1/review?*", lambda route: route.fulfill(content_type="application/json", body=answer))
    _goes_to(page, "Review")
    expect(page.get_by_text("2 voices to decide")).to_be_visible()
    first, second = (page.locator(".review").filter(has_text=one["name"]) for one in kept)
    seen.play(first.get_by_role("button", name=re.compile("^Play " + kept[0]["name"])).first)
    first.get_by_role("button", name="Compare with enrolled songs of Ada").click()
    seen.play(first.get_by_role("button", name=re.compile("^Play Ada")).first)
    page.get_by_label("Your name, for the log").fill("Ines")
    first.get_by_role("button", name=re.compile("^Reject")).click()
    expect(page.get_by_text("1 voice to decide")).to_be_visible()
    second.get_by_role("button", name=re.compile("^Not sung")).click()
    expect(page.get_by_text("Nothing is waiting for a decision.")).to_be_visible()
    with service.client() as client:
        lines = client.get("/v1/review/log").json()["decisions"][-2:]
    assert [(line["path"], line["deed"], line["who"]) for line in lines] == [
        (kept[0]["name"], "reject", "Ines"),
        (kept[1]["name"], "not sung", "Ines"),
    ]


# ---------------------------------------------------------------------- for everybody


def test_the_main_job_is_done_by_keyboard(visit: Open, songs: Songs) -> None:
    seen = visit()
    page = seen.page
    page.on("filechooser", lambda chooser: chooser.set_files(songs["b-3"]))  # early: Chromium is told in the background
    focused = "() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"

    def tab_to(text: str, most: int = 40) -> None:
        for _ in range(most):
            page.keyboard.press("Tab")
            if re.match(text, page.evaluate(focused)):
                return
        raise AssertionError(f"no {text} by Tab")

    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Skip to the content"
    page.keyboard.press("Enter")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "file":
            break
    ring = "() => getComputedStyle(document.activeElement.closest('.choose')).outlineStyle"
    assert page.evaluate(ring) == "solid", "focus is seen"
    page.keyboard.press("Enter")
    expect(page.locator("h3.verdict")).to_contain_text("Bram")
    tab_to("Play$")
    page.keyboard.press("Space")
    seen.goes_on(seen.song())
    tab_to("Play the passage in this song")
    page.keyboard.press("Enter")
    seen.goes_on(seen.song())
    tab_to("Confirm that the voice of Bram is Bram")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Confirmed: Bram", exact=True)).to_be_visible()
    assert re.match("Change", page.evaluate(focused)), "the focus is not lost"
    page.keyboard.press("Shift+Tab")


def test_a_token_is_asked_for_kept_and_bounds_what_is_shown(
    visit: Open, songs: Songs, service: Service, tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    tokens = tmp_path / "tokens.toml"
    made = {}
    for name, may in {"Rita": ["read"], "Vera": ["read", "enrol", "review"]}.items():
        options = [word for scope in may for word in ("--may", scope)]
        code, out, _ = run("serve", "--tokens", tokens, "--add-token", name, *options, "--json")
        assert code == 0
        made[name] = json.loads(out)["token"]
    shutil.copytree(service.folder, tmp_path / "copy")
    with served(tmp_path / "copy", "--tokens", str(tokens), token=made["Vera"]) as guarded:
        seen = visit("identify", guarded.address, refusals=True)
        page = seen.page
        page.get_by_label("Token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("does not know this token")
        page.get_by_label("Token").fill(made["Rita"])
        page.keyboard.press("Enter")
        _identify(page, songs["a-3"])
        expect(page.locator("h3.verdict")).to_contain_text("Ada")
        seen.play(page.get_by_role("button", name=re.compile("^Play the enrolled passage")).first)
        expect(page.get_by_role("button", name=re.compile("^Confirm"))).to_have_count(0)
        _goes_to(page, "Singers")
        expect(page.get_by_role("heading", name="Ada")).to_be_visible()
        expect(page.get_by_role("button", name=re.compile("Delete|Rename"))).to_have_count(0)
        page.reload()
        expect(page.get_by_role("heading", name="Ada")).to_be_visible()

        page.evaluate("sessionStorage.setItem('whosings.token', 'whosings_gone')")
        _goes_to(page, "Library")
        expect(page.get_by_label("Token")).to_be_focused()
        page.get_by_label("Token").fill(made["Vera"])
        page.keyboard.press("Enter")
        number = guarded.keep(songs["e-3"])
        page.goto(f"{guarded.address}#/library/{number}")
        page.get_by_role("button", name=re.compile("^Not sung")).click()
        expect(page.get_by_role("button", name=re.compile("^Change"))).to_be_visible()
        seen.play(page.get_by_role("button", name="Play", exact=True))
        _goes_to(page, "Review")
        page.get_by_role("link", name="History").click()
        expect(page.get_by_role("listitem").filter(has_text="e-3.flac")).to_contain_text("Vera")


def test_every_view_fits_its_window_and_axe_finds_nothing(visit: Open, songs: Songs, service: Service) -> None:
    """On a desktop in light colours, and on a phone in dark ones."""
    number = service.keep(songs["duet"])
    seen = visit(reduced_motion="reduce")
    page = seen.page
    _identify(page, songs["a-3"])
    expect(page.locator("h3.verdict")).to_be_visible()
    expect(page.locator("song-player")).to_contain_text("0:06")
    found = _faults_of(seen, "identify")
    for view in (*VIEWS[1:], f"library/{number}", "find?singer=Ada"):
        page.evaluate("(view) => { location.hash = `#/${view}`; }", view)
        page.wait_for_load_state("networkidle")
        expect(page.locator("main [aria-busy]")).to_have_count(0)
        if view == "singers":
            page.locator("summary").first.click()
            expect(page.locator("clip-player").first).to_be_visible()
        found += _faults_of(seen, view)
    _goes_to(page, "Singers")
    page.get_by_role("button", name="Delete Ada").click()
    found += _faults_of(seen, "dialog")
    assert found == []


def _faults_of(seen: Visit, view: str) -> list[str]:
    """What axe-core finds serious or critical, and whether the page is too wide."""
    found = []
    for scheme, width, height in (("light", 1280, 800), ("dark", 360, 780)):
        seen.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        seen.page.set_viewport_size({"width": width, "height": height})
        told = Axe().run(seen.page, options={"resultTypes": ["violations"]}).response["violations"]
        bad = [one for one in told if one["impact"] in ("serious", "critical")]
        found += [f"{view}, {scheme}: {one['id']} {node['html'][:200]}" for one in bad for node in one["nodes"]]
        if seen.overflow() > 0:
            found.append(f"{view}: {seen.overflow()} pixels wider than {width}")
    return found


# ---------------------------------------------------------------------- words


def test_verdicts_are_in_the_words_of_the_command_line(visit: Open) -> None:
    """300 random answers; shares are drawn in steps at which halves are rounded, too."""
    answers = [_random_answer(random.Random(seed)) for seed in range(300)]
    expected = [printable(verdict_line(answer)) for answer in answers]
    script = """async (answers) => (await import("./page/words.js").then((words) => answers.map(words.verdictLine)))"""
    assert visit().page.evaluate(script, json.loads(json_text(answers))) == expected


def test_voices_of_an_answer_are_those_of_the_library_that_sing_at_the_same_time(visit: Open) -> None:
    """Of drawn voices that do not sing at once, numbered otherwise, with ends moved and one voice more."""
    script = """async (rows) => (await import("./page/voices.js")
        .then((voices) => rows.map(([answered, kept]) => voices.matchVoices(answered, kept))))"""
    rng = random.Random(7)
    rows, expected = [], []
    for _ in range(50):
        edges = sorted(rng.sample(range(0, 400, 4), 16))
        spans = [{"start_s": start, "stop_s": stop} for start, stop in zip(edges[::2], edges[1::2], strict=True)]
        voices = [[spans[place] for place in (n, n + 4)] for n in range(4)]  # two spans each
        numbers = rng.sample(range(4), 4)
        moved = [[{**span, "stop_s": span["stop_s"] - rng.random()} for span in voice] for voice in voices]
        kept = [{"voice": number, "spans": voice} for number, voice in zip(numbers, moved, strict=True)]
        rows.append([[{"spans": voice} for voice in voices[:3]], sorted(kept, key=lambda one: one["voice"])])
        expected.append(numbers[:3])
    nowhere = {"spans": [{"start_s": 900, "stop_s": 910}]}
    rows.append([[nowhere], rows[0][1]])
    expected.append([None])
    assert visit().page.evaluate(script, rows) == expected


def test_terms_and_names_are_in_the_words_of_the_command_line(visit: Open) -> None:
    rates = [None, 0.5, 0.1, 0.07, 0.01, 0.005, 0.001, 0.00025]
    terms = [Terms(rate, "made songs", 1.0, 0.5) for rate in rates]
    page = visit().page
    script = "async (rows) => (await import('./page/words.js').then((words) => rows.map(words.termsSentence)))"
    assert page.evaluate(script, json.loads(json_text(terms))) == [str(one) for one in terms]
    names = [chr(code) + "x" for code in (*range(0x20, 0x3000), 0xFFF9, 0xFFFD, 0xE0001, 0x1F600)]
    script = "async (names) => (await import('./page/words.js').then((words) => names.map(words.printable)))"
    assert page.evaluate(script, names) == [printable(name) for name in names]


def _random_answer(rng: random.Random) -> Answer:
    def share() -> float:
        return rng.choice([rng.randrange(0, 1001) / 1000, rng.randrange(0, 201) / 200, rng.random()])

    def voice() -> Voice:
        outcome = rng.choice(list(Outcome))
        name = None if outcome is Outcome.UNKNOWN else rng.choice(["Ada", "B & C", HOSTILE[2], TURNED])
        return Voice(name, share(), outcome, 9.0, (Span(0.0, 9.0),))

    voices = tuple(voice() for _ in range(rng.randrange(1, 4)))
    verdict = rng.choice(list(Verdict))
    if verdict is Verdict.WORTH_A_LOOK:
        voices = (*voices, Voice("Ada", share(), Outcome.WORTH_A_LOOK, 9.0, (Span(0.0, 9.0),)))
    top = (Candidate("Ada", 0.5, share(), 1.0),)
    terms = Terms(0.01, "made songs", 1.0, 0.5)
    return Answer("x", verdict, top, share(), (), 9.0, 9.0, False, "", terms, voices=voices)
