"""A service that is looked at does nothing, and one that plays says little.

The short form plays 60 recordings, the long form (LONG=1) 1,000.
"""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from conftest import StartService
from demo.provider import Provider
from demo.service import wait_until
from recordings.tests.living import LONG, Customer, customer

RECORDINGS = 1_000 if LONG else 60
A = TypeVar("A")
B = TypeVar("B")
STATUS_REQUESTS, PAGE_LOADS = 1_000, 50


def info_lines(log: str) -> list[str]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line["message"] for line in lines if line["level"] != "DEBUG"]


def test_a_thousand_looks_start_nothing_and_each_download_is_one_line(service: StartService) -> None:
    with Provider(auth="none", bulk_bytes=10_000) as provider:
        environment = {"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address, "LOG_FORMAT": "json"}
        running = service(environment=environment)
        acme = customer(running, provider)
        names = {f"CA{number:04}": f"bulk-{number:06}" for number in range(RECORDINGS)}
        acme.import_recordings(names)

        _looking_changes_nothing(acme, list(names))
        assert len(provider.log()) == 0

        before = len(info_lines(running.log()))
        _each(lambda sid: acme.request("POST", f"/api/recordings/{sid}/download", {}), names)
        wait_until(lambda: acme.statuses() == {"ready": RECORDINGS}, 120, "every recording is ready")
        cold = info_lines(running.log())[before:]
        assert cold == ["Priority download job enqueued"] * RECORDINGS

        for _ in range(2):
            answers = _each(lambda sid: acme.request("GET", f"/api/recordings/{sid}/stream", Range="bytes=0-"), names)
            assert {status for status, _, _ in answers} == {206}
        assert len(info_lines(running.log())) == before + RECORDINGS, "a play of a ready recording wrote a line"


def _looking_changes_nothing(acme: Customer, sids: list[str]) -> None:
    def standing() -> list[tuple[object, ...]]:
        return acme.service.sql("SELECT * FROM call_log ORDER BY id")

    before = standing()
    statuses = _each(
        lambda number: acme.request("GET", f"/api/recordings/{sids[number % len(sids)]}/status"), range(STATUS_REQUESTS)
    )
    assert {status for status, _, _ in statuses} == {200}
    cookie = _log_in(acme)
    pages = _each(lambda number: acme.request("GET", "/", Cookie=cookie), range(PAGE_LOADS))
    assert {status for status, _, _ in pages} == {200}
    assert standing() == before
    # That no bell rings is seen in the queries (test_pages, test_api_status); here, that nothing was tried.
    assert acme.service.sql("SELECT COUNT(*) FROM recordings_attempt") == [(0,)]


def _log_in(acme: Customer) -> str:
    """The session cookie of the customer's member, through the login form."""
    _, headers, body = acme.request("GET", "/login/", Authorization="")
    csrf = headers["set-cookie"].split(";")[0]
    token = body.decode().split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    form = f"csrfmiddlewaretoken={token}&username={acme.slug}-program&password=correct+horse+battery"
    status, cookies = acme.post_form("/login/", form, csrf)
    assert status == 302
    return next(cookie.split(";")[0] for cookie in cookies if cookie.startswith("prosaasil_session"))


def _each(ask: Callable[[A], B], over: Iterable[A]) -> list[B]:
    """Eight at once, as several people would."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(ask, over))
