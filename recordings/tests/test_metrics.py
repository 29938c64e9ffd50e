"""recordings/metrics.py: who may read /metrics, and that it says what the rows say, in few queries."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries, Settings

from calls.clock import now
from calls.models import CallLog
from recordings import counting
from recordings.models import ProviderAccount
from recordings.tests import rows
from recordings.tests.api import storage  # noqa: F401  (a fixture)
from recordings.tests.rows import DOWNLOADING, FAILED, MISSING, QUEUED, READY, business, recording

TOKEN = "a-token-that-nobody-guesses"
QUERIES = 6
"""/readyz's own, and five of what the database knows."""

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(autouse=True)
def _machine(settings: Settings, tmp_path: Path, storage: Path) -> Iterator[None]:  # noqa: F811
    settings.RUN_DIR = tmp_path / "run"
    settings.RUN_DIR.mkdir()
    (settings.RUN_DIR / "cluster.alive").touch()
    counting._tally.after_fork()
    counting.begin()
    yield
    counting._tally.close()


def scrape(**request: Any) -> Values:
    response = Client().get("/metrics", **request)
    assert (response.status_code, response["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "no-store" in response["Cache-Control"]
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def value(values: Values, name: str, **labels: str) -> float:
    return values[f"prosaasil_{name}", frozenset(labels.items())]


# --- who may read it


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
def test_whoever_is_on_this_machine_may_read_it(address: str) -> None:
    scrape(REMOTE_ADDR=address)


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"REMOTE_ADDR": "192.0.2.7"},
        {"REMOTE_ADDR": "::ffff:192.0.2.7"},
        {"REMOTE_ADDR": ""},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_VIA": "1.1 proxy"},
        {"HTTP_X_REAL_IP": "127.0.0.1"},
    ],
    ids=str,
)
@pytest.mark.django_db
def test_from_elsewhere_or_through_a_proxy_it_takes_the_token(elsewhere: dict[str, str], settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    client = Client(**elsewhere)  # type: ignore[arg-type]
    assert client.get("/metrics").status_code == 404
    wrong = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}é"})
    assert (wrong.status_code, wrong["WWW-Authenticate"]) == (401, "Bearer")
    scrape(headers={"Authorization": f"Bearer {TOKEN}"}, **elsewhere)
    settings.METRICS_TOKEN = ""
    for guess in ("", "Bearer", "Bearer ", f"Bearer {TOKEN}"):
        assert client.get("/metrics", headers={"Authorization": guess}).status_code == 404


@pytest.mark.django_db
def test_where_there_is_a_token_this_machine_needs_it_too_for_a_bare_proxy_speaks_from_here(settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    assert Client().get("/metrics").status_code == 404
    scrape(headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.mark.django_db
def test_an_account_that_has_grown_back_is_not_slowed_any_more() -> None:
    business()
    ProviderAccount.objects.update(slowed_to=4, slowed_at=now())
    assert value(scrape(), "accounts", state="slowed") == 1
    rows.pass_time(3600)
    assert value(scrape(), "accounts", state="slowed") == 0


@pytest.mark.django_db
def test_it_is_only_read() -> None:
    assert Client().head("/metrics").status_code == 200
    assert Client().post("/metrics").status_code == 405


@pytest.mark.django_db
def test_it_names_no_business_and_no_call() -> None:
    row = recording(FAILED, owner=business("secretive"))
    text = Client().get("/metrics").content.decode()
    assert "secretive" not in text
    assert row.call_sid not in text


# --- what it says


@pytest.mark.django_db
def test_counts_of_processes_stand_there_from_the_first_day_and_grow() -> None:
    assert value(scrape(), "queue_answers_total", answer="under_way") == 0
    counting.ANSWERS.add("under_way", amount=3)
    counting.SECONDS.add(0.2, 7)
    values = scrape()
    assert value(values, "queue_answers_total", answer="under_way") == 3
    assert value(values, "download_seconds_bucket", le="0.25") == 1
    assert value(values, "download_seconds_bucket", le="+Inf") == value(values, "download_seconds_count") == 2
    assert value(values, "download_seconds_sum") == 7.2


@pytest.mark.django_db
def test_what_the_rows_say_is_read_in_a_few_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    slow = business("slow")
    ProviderAccount.objects.filter(business=slow).update(paused_until=now(60))
    ProviderAccount.objects.filter(business=business("refused")).update(broken_since=now(), broken_at=now())
    for status, count in ((MISSING, 1), (READY, 5), (FAILED, 2)):
        for _ in range(count):
            recording(status)
    recording(QUEUED, priority=1, last_enqueue_at=now(-40))
    recording(QUEUED, priority=1)
    recording(QUEUED, last_enqueue_at=now(-500))
    recording(QUEUED, owner=slow, last_enqueue_at=now(-9000))
    recording(DOWNLOADING)
    recording(DOWNLOADING, lease_until=now(-5))
    with django_assert_num_queries(QUERIES):
        values = scrape()
    assert [value(values, "recordings", status=each) for each in ("missing", "queued", "downloading")] == [1, 4, 2]
    assert [value(values, "recordings", status=each) for each in ("ready", "failed")] == [5, 2]
    assert value(values, "failed_recordings", reason="stalled") == 2
    assert value(values, "failed_recordings", reason="gone") == 0
    assert [value(values, "queue_waiting", priority=each) for each in ("click", "bulk")] == [2, 1]
    assert [value(values, "queue_held", priority=each) for each in ("click", "bulk")] == [0, 1]
    assert 40 <= value(values, "queue_oldest_seconds", priority="click") < 100
    assert 500 <= value(values, "queue_oldest_seconds", priority="bulk") < 560
    assert value(values, "lapsed_leases") == 1
    assert [value(values, "accounts", state=each) for each in ("refused", "paused")] == [1, 1]


@pytest.mark.django_db
def test_an_empty_queue_has_no_age() -> None:
    values = scrape()
    assert [value(values, "queue_oldest_seconds", priority=each) for each in ("click", "bulk")] == [0, 0]


@pytest.mark.django_db
def test_the_machine_is_seen_as_readyz_sees_it(settings: Settings) -> None:
    values = scrape()
    assert [value(values, "check_ok", check=each) for each in ("database", "storage", "workers")] == [1, 1, 1]
    assert value(values, "workers_silent_seconds") < 15
    assert value(values, "storage_free_bytes") > value(values, "storage_min_free_bytes")
    sign = settings.RUN_DIR / "cluster.alive"
    os.utime(sign, (sign.stat().st_mtime - 100, sign.stat().st_mtime - 100))
    values = scrape()
    assert value(values, "check_ok", check="workers") == 0
    assert value(values, "workers_silent_seconds") >= 100


@pytest.mark.django_db
def test_without_a_database_the_rest_is_still_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OperationalError("away")

    counting.ANSWERS.add("ready")
    monkeypatch.setattr(connection, "cursor", refuse)
    values = scrape()
    assert value(values, "check_ok", check="database") == 0
    assert value(values, "queue_answers_total", answer="ready") == 1
    assert not [name for name, _ in values if name == "prosaasil_recordings"]


@pytest.mark.once
@pytest.mark.django_db
def test_no_query_reads_the_whole_table(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    row = recording(READY)
    own = {"id", "call_sid"}
    columns = [field.attname for field in CallLog._meta.concrete_fields if field.attname not in own]
    like = CallLog.objects.values(*columns).get(pk=row.pk)
    CallLog.objects.bulk_create([CallLog(call_sid=f"MANY{number}", **like) for number in range(2000)])
    with django_assert_num_queries(QUERIES) as seen, connection.cursor() as cursor:
        cursor.connection.execute("ANALYZE call_log")
        scrape()
    plans = []
    for query in (each["sql"] for each in seen.captured_queries if "call_log" in each["sql"]):
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query}")
            plans.append(" ".join(str(line[-1]) for line in cursor.fetchall()))
    assert len(plans) == 4
    assert all("INDEX recording_" in plan for plan in plans), plans
