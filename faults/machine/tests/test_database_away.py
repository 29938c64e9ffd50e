"""PostgreSQL restarted, and cut off in the middle of a COMMIT: no double commit, no lost file, no second request.

The restarts of a server under load are of the long form (LONG=1).
"""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from conftest import on_postgres
from demo import postgres
from demo.provider import Provider
from demo.service import Service, copy_prepared, wait_until
from faults.machine.cutting_proxy import CuttingProxy, Fate
from faults.machine.tests.forms import long_form
from recordings.attempts import Attempt, Outcome
from recordings.download import worker
from recordings.download.adopting import sha256
from recordings.models import Recording
from recordings.storage import default_storage
from recordings.tests import rows
from recordings.tests.downloads import business_of, provider_and_storage, waiting
from recordings.tests.living import Customer, customer
from recordings.tests.transitions import Witness

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not on_postgres(), reason="of a server, which SQLite is not: `./test` runs it on PostgreSQL"),
]

FINISH = ('UPDATE "call_log"', "recording_sha256", "recording_ready_at")
START = ('UPDATE "call_log"', "recordings_attempt", "recording_lease_until")
RESTARTS = 5


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setattr(worker, "LOOK_EVERY", 0.05)
    with provider_and_storage(tmp_path, RECORDINGS_SLOTS=4) as provider:
        worker._crew.cache_clear()
        yield provider
        worker._crew.cache_clear()


@pytest.fixture
def proxy(provider: Provider, witness: Witness) -> Iterator[CuttingProxy]:
    """Between this test's connection and its database."""
    port = connection.settings_dict["PORT"]
    with CuttingProxy(int(port)) as proxy:
        connection.close()
        connection.settings_dict["PORT"] = proxy.port
        yield proxy
        connection.close()
        connection.settings_dict["PORT"] = port


def is_right(row: Recording, provider: Provider) -> bool:
    row.refresh_from_db()
    right = provider.audio(row.recording_url or "").sha256
    return row.recording_sha256 == sha256(default_storage(), row.recording_file) == right


def by_another_way(statement: str) -> None:
    """Run a statement on this test's database, past the proxy."""
    facts = connection.get_connection_params()
    server = postgres_port()
    with psycopg.connect(
        host=facts["host"], port=server, user=facts["user"], password=facts["password"], dbname=facts["dbname"],
        autocommit=True,
    ) as other:  # fmt: skip
        other.execute(statement.encode())


def postgres_port() -> int:
    from django.conf import settings

    return int(settings.DATABASES["default"]["PORT"])


@pytest.mark.parametrize("fate", ["committed", "not committed"])
def test_a_finish_whose_answer_is_lost_is_read_back_and_committed_once(
    provider: Provider, proxy: CuttingProxy, witness: Witness, fate: Fate, caplog: pytest.LogCaptureFixture
) -> None:
    row = waiting(business_of(provider), provider, "hello")
    before: list[str] = []

    def files() -> None:
        before.extend(file.name for file in default_storage().files_of(row.pk))

    proxy.cut_at(*FINISH, fate=fate, then=files)
    worker.drain()

    assert proxy.cuts == 1
    assert is_right(row, provider)
    assert [row.recording_file] == before == [file.name for file in default_storage().files_of(row.pk)]
    assert provider.count("hello").requests == 1
    assert Attempt.objects.get().outcome == Outcome.READY
    assert witness.pairs().count(("downloading", "ready")) == 1
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert told == ["Database away while downloading"]


def test_a_finish_that_was_not_committed_before_its_row_was_released_is_dropped_and_its_file_adopted(
    provider: Provider, proxy: CuttingProxy, witness: Witness
) -> None:
    row = waiting(business_of(provider), provider, "hello")
    release = (
        "UPDATE call_log SET recording_download_status = 'queued', recording_token = NULL,"
        f" recording_lease_until = NULL WHERE id = {row.pk}"
    )
    proxy.cut_at(*FINISH, fate="not committed", then=lambda: by_another_way(release))
    worker.drain()

    assert proxy.cuts == 1
    assert is_right(row, provider)
    assert provider.count("hello").requests == 1
    assert witness.pairs().count(("downloading", "ready")) == 1
    assert Attempt.objects.order_by("pk").last().outcome == Outcome.ADOPTED  # type: ignore[union-attr]


@pytest.mark.parametrize("fate", ["committed", "not committed"])
def test_a_claim_whose_answer_is_lost_is_downloaded_once_at_the_latest_when_its_lease_is_over(
    provider: Provider, proxy: CuttingProxy, witness: Witness, fate: Fate
) -> None:
    row = waiting(business_of(provider), provider, "hello")
    proxy.cut_at(*START, fate=fate)
    worker.drain()
    assert proxy.cuts == 1
    row.refresh_from_db()
    assert row.recording_download_status == ("downloading" if fate == "committed" else "queued")
    rows.pass_time(40, row)
    Recording.objects.release()
    worker.drain()
    assert is_right(row, provider)
    assert provider.count("hello").requests == 1


@long_form
def test_a_server_that_crashes_under_load_costs_no_recording_and_no_second_request(
    prepared_var: Path, postgres_server: postgres.Server, tmp_path: Path
) -> None:
    count = 30 * RESTARTS
    with (
        postgres.fresh_database(postgres_server.url()) as url,
        Provider(auth="none", latency=0.2, bulk_bytes=50_000) as provider,
    ):
        copy_prepared(prepared_var, tmp_path / "var")
        allowed = {"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address}
        running = Service(tmp_path / "var", database_url=url, environment=allowed)
        try:
            running.manage("prepare")
            running.start()
            acme = customer(running, provider)
            names = {f"CA{number:04}": f"bulk-{number:06}" for number in range(count)}
            acme.import_recordings(names)
            clicks = threading.Thread(target=click_all, args=(acme, list(names)))
            clicks.start()
            for restart in range(1, RESTARTS + 1):
                downloads_have_begun(provider, 30 * restart - 15)
                postgres_server.restart(signal.SIGQUIT)
            clicks.join(120)
            wait_until(lambda: acme.statuses() == {"ready": count}, 90, "every recording is ready")

            right = {sid: provider.audio(provider.url(name, "wav")).sha256 for sid, name in names.items()}
            assert dict(running.sql("SELECT call_sid, recording_sha256 FROM call_log")) == right
            doubled = (
                "SELECT recording_id FROM recordings_attempt WHERE outcome = 'ready' GROUP BY 1 HAVING COUNT(*) > 1"
            )
            assert running.sql(doubled) == []
            asked = {name: provider.count(name).requests for name in names.values()}
            assert asked == dict.fromkeys(asked, 1), "what was on its way when the server fell came to its end"
            wait_until(lambda: acme.request("GET", "/readyz")[0] == 200, 10, "it is well")
            assert "The database can't be used" in running.log() or "Database away" in running.log()
            running.stop()
            assert running.members() == []
        finally:
            running.kill()


def click_all(acme: Customer, sids: list[str]) -> None:
    """Press Play for each, as a person does: again when the answer is an error."""
    for sid in sids:
        wait_until(lambda sid=sid: _taken(acme, sid), 60, f"{sid} is taken")  # type: ignore[misc]


def downloads_have_begun(provider: Provider, count: int) -> None:
    wait_until(lambda: len(provider.log()) >= count, 60, f"{count} downloads have begun")


def _taken(acme: Customer, sid: str) -> bool:
    try:
        return acme.request("POST", f"/api/recordings/{sid}/download", {})[0] in {200, 202}
    except OSError:
        return False
