"""A herd over HTTP, and an hour's due retries, in short: see asks.py and outage.py. And the proof can see a storm."""

from collections.abc import Iterator

import pytest

from conftest import StartService
from demo.provider import Provider
from faults.provider import asks, outage
from faults.provider.report import Report
from recordings.tests.living import LONG, Customer, customer


@pytest.fixture(scope="module")
def acme(lasting_service: StartService) -> Iterator[Customer]:
    """A business of one service, for both."""
    with Provider(auth="none", latency=outage.LATENCY, bulk_bytes=4_000) as provider:
        environment = {"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address, "WEB_WORKERS": "2"}
        yield customer(lasting_service(environment=environment), provider)


def test_requests_over_http_make_one_fetch_a_recording(acme: Customer) -> None:
    requests, clients, recordings = (50_000, 50, 1000) if LONG else (400, 8, 20)
    assert asks.prove_http(acme, requests, clients, recordings, seed=1).findings == []


def test_a_provider_that_comes_back_to_many_due_retries_is_not_stormed(acme: Customer) -> None:
    recordings, seconds = (10_000, 60) if LONG else (200, 2)
    assert outage.prove(acme, recordings, 10, seconds).findings == []


def test_the_proof_sees_a_storm() -> None:
    calm, burst, endless = Report(), Report(), Report()
    outage.judge_outage(calm, [18, 0, 7, 0, 0, 0, 8], 10, 7)
    outage.judge_outage(burst, [200], 10, 1)
    outage.judge_outage(endless, [9] * 60, 10, 60)
    assert (len(calm.findings), len(burst.findings), len(endless.findings)) == (0, 2, 1)
