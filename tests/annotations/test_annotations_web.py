from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from threading import Thread

import pytest

from tests.annotation_service import FakeClock, Reply, serving, settings
from whosings.annotations.web import Pace, RateLimiter, Web
from whosings.errors import AnnotationError, MalformedAnswerError, ServiceBusyError, ServiceRefusalError


@pytest.fixture
def web(tmp_path, clock) -> Iterator[Web]:
    web = Web("test", Pace(100, 1.0), settings(tmp_path), clock=clock)
    yield web
    web.close()


def test_limiter_lets_a_burst_pass_and_then_keeps_the_window():
    clock = FakeClock()
    limiter = RateLimiter(Pace(3, 10.0), clock)
    passed = []
    for _ in range(8):
        limiter.wait()
        passed.append(clock.time)
    assert passed == [1000, 1000, 1000, 1010, 1010, 1010, 1020, 1020]
    clock.time += 100
    limiter.wait()
    assert clock.slept == [10, 10]


def test_limiter_holds_in_any_window_not_only_from_the_first_request():
    clock = FakeClock()
    limiter = RateLimiter(Pace(2, 5.0), clock)
    limiter.wait()
    clock.time += 4.9
    limiter.wait()
    limiter.wait()
    limiter.wait()
    assert clock.time == pytest.approx(1000 + 4.9 + 5.0)


def test_limiter_closes_on_demand():
    clock = FakeClock()
    limiter = RateLimiter(Pace(5, 1.0), clock)
    limiter.close(60)
    limiter.wait()
    assert clock.time == 1060


def test_limiter_counts_every_thread():
    clock = FakeClock()
    limiter = RateLimiter(Pace(1, 1.0), clock)
    threads = [Thread(target=lambda: [limiter.wait() for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.time == 1000 + 99


def test_second_call_is_answered_from_the_cache_without_waiting(service, web, clock):
    service.routes["/a"] = {"x": 1}
    first = web.ask(f"{service.address}/a", {"q": "é"})
    second = web.ask(f"{service.address}/a", {"q": "é"})
    assert (first.document, first.from_cache, second.document, second.from_cache) == ({"x": 1}, False, {"x": 1}, True)
    assert len(service.asked) == 1
    web.ask(f"{service.address}/a", {"q": "e"})
    assert len(service.asked) == 2


def test_cache_is_on_disk_and_grows_old(service, tmp_path):
    service.routes["/a"] = {"x": 1}
    for keep_s, requests in ((1000, 1), (1000, 1), (-1, 1)):
        web = Web("test", Pace(100, 1.0), settings(tmp_path, keep_s=keep_s), clock=FakeClock())
        web.ask(f"{service.address}/a")
        web.close()
        assert len(service.asked) == requests
    aged = Web("aged", Pace(100, 1.0), settings(tmp_path, keep_s=0), clock=FakeClock())
    aged.ask(f"{service.address}/a")
    aged.ask(f"{service.address}/a")
    assert len(service.asked) == 3


def test_posts_are_cached_by_their_form(service, web):
    service.routes["/a"] = lambda asked: {"said": asked.form["query"]}
    for query in ("one", "two", "one"):
        assert web.ask(f"{service.address}/a", form={"query": query}).document == {"said": query}
    assert len(service.asked) == 2


def test_says_who_asks(service, web):
    service.routes["/a"] = {}
    web.ask(f"{service.address}/a")
    agent = service.asked[0].headers["User-Agent"]
    assert agent.startswith("whosings/") and "tests@example.org" in agent


@pytest.mark.parametrize("status", [429, 503])
def test_waits_as_long_as_it_is_asked_to(service, web, clock, status):
    service.routes["/a"] = [Reply("slow down", status, {"Retry-After": "7"}), Reply({"x": 1})]
    assert web.ask(f"{service.address}/a").document == {"x": 1}
    assert clock.slept == [7]


def test_retry_after_may_be_a_date(service, web, clock):
    service.routes["/a"] = [Reply("", 503, {"Retry-After": "Tue, 14 Nov 2023 22:13:50 GMT"}), Reply({})]
    web.ask(f"{service.address}/a")
    assert clock.slept == [30]


def test_retry_after_that_is_neither_is_overlooked(service, web, clock):
    service.routes["/a"] = [Reply("", 503, {"Retry-After": "soon"}), Reply({})]
    web.ask(f"{service.address}/a")
    assert 1 <= clock.slept[0] <= 1.25


def test_waits_double_and_end(service, web, clock):
    service.routes["/a"] = Reply("", 502)
    with pytest.raises(ServiceBusyError, match="status 502"):
        web.ask(f"{service.address}/a")
    assert len(service.asked) == 6
    assert all(low <= slept <= low * 1.25 for low, slept in zip((1, 2, 4, 8, 16), clock.slept, strict=True))


def test_a_wait_of_a_day_is_not_waited(service, web, clock):
    service.routes["/a"] = Reply("", 429, {"Retry-After": "86400"})
    with pytest.raises(ServiceBusyError, match="86400"):
        web.ask(f"{service.address}/a")
    assert clock.slept == [] and len(service.asked) == 1


def test_refusals_are_not_repeated_and_not_kept(service, web):
    service.routes["/a"] = [Reply({"message": "bad token"}, 403), Reply({"x": 1})]
    with pytest.raises(ServiceRefusalError, match=r"403.*bad token"):
        web.ask(f"{service.address}/a")
    assert web.ask(f"{service.address}/a").document == {"x": 1}


def test_what_is_not_there_is_an_answer_and_kept(service, web):
    assert web.ask(f"{service.address}/none").document is None
    assert web.ask(f"{service.address}/none").status == 404
    assert len(service.asked) == 1


def test_malformed_json_is_an_error_and_not_kept(service, web):
    service.routes["/a"] = [Reply('{"x": 1'), Reply({"x": 1})]
    with pytest.raises(MalformedAnswerError, match="not JSON"):
        web.ask(f"{service.address}/a")
    assert web.ask(f"{service.address}/a").document == {"x": 1}


@pytest.mark.parametrize("packed", [False, True])
def test_an_endless_answer_is_refused(service, tmp_path, clock, packed):
    web = Web("test", Pace(9, 1.0), settings(tmp_path, most_bytes=200_000), clock=clock)
    body = json.dumps({"long": "x" * 300_000}).encode()
    zipped = Reply(gzip.compress(body), headers={"Content-Encoding": "gzip"})
    service.routes["/long"] = zipped if packed else Reply(body)
    service.routes["/short"] = {"long": "x" * 100_000}
    with pytest.raises(MalformedAnswerError, match="more than 200,000 bytes"):
        web.ask(f"{service.address}/long")
    assert len(web.ask(f"{service.address}/short").document["long"]) == 100_000
    assert web.ask(f"{service.address}/short").from_cache
    web.close()


def test_nobody_there(tmp_path):
    with serving() as service:
        address = service.address
    web = Web("test", Pace(100, 1.0), settings(tmp_path, attempts=2), clock=FakeClock())
    with pytest.raises(ServiceBusyError, match="ConnectionError"):
        web.ask(address)


def test_an_address_that_is_none(web):
    with pytest.raises(ServiceRefusalError):
        web.ask("no address")


def test_contact_is_needed(tmp_path):
    with pytest.raises(AnnotationError, match="contact"):
        Web("test", Pace(1, 1.0), settings(tmp_path, contact="me"))


def test_tokens_do_not_reach_the_cache(service, tmp_path):
    service.routes["/a"] = {"x": 1}
    web = Web("test", Pace(100, 1.0), settings(tmp_path), clock=FakeClock())
    web.ask(f"{service.address}/a", headers={"Authorization": "Discogs token=s3cret-t0ken"})
    web.close()
    assert service.asked[0].headers["Authorization"] == "Discogs token=s3cret-t0ken"
    assert b"s3cret-t0ken" not in (tmp_path / "cache" / "test.sqlite").read_bytes()
