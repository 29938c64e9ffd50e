"""The admin's page “Recordings now”: what it says, what it costs, and “retry these”."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from calls.clock import now as database_now
from calls.models import PRIORITY_CLICK, CallLog
from calls.tests.factories import make_member
from recordings import health, now
from recordings.models import Attempt, ProviderAccount, StatusSample
from recordings.now_words import faces
from recordings.reasons import Reason
from recordings.tests.rows import DOWNLOADING, FAILED, MISSING, QUEUED, READY, business, read, recording, world

pytestmark = pytest.mark.django_db
NOW = "/admin/recordings/recording/now/"
RETRY = f"{NOW}retry/"
FOR_GOOD: dict[str, Any] = {"permanent": True, "next_retry_at": None}
OVER: dict[str, Any] = {"next_retry_at": None}


@pytest.fixture
def operator(client: Client) -> Client:
    """Logged in as a superuser, with no membership."""
    client.force_login(User.objects.create_superuser("operator"))
    return client


def staff(client: Client, *permissions: str) -> Client:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


def text(response: Any) -> str:
    """What a person sees of the page."""
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


# --- what it says ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("counts", "well"), [
    ({"ready": 80, "missing": 20}, (True, True, True)),
    ({"ready": 79, "missing": 20, "failed": 1}, (False, False, True)),
    ({"ready": 951, "failed": 9, "queued": 20, "downloading": 20}, (True, True, True)),
    ({"ready": 95, "queued": 2, "downloading": 3}, (True, True, False)),
])  # fmt: skip
def test_the_counts_are_held_against_the_targets(counts: dict[str, int], well: tuple[bool, bool, bool]) -> None:
    none = {"missing": 0, "queued": 0, "downloading": 0, "ready": 0, "failed": 0}
    found = {one.name: one for one in now.standings(none | counts)}
    assert tuple(found[name].well for name in ("ready", "failed", "under_way")) == well
    assert found["missing"].well is None
    assert sum(found[name].count for name in none) == sum(counts.values())


def test_with_no_recordings_nothing_is_well_or_not(operator: Client) -> None:
    assert {(one.share, one.well) for one in now.standings(dict.fromkeys(DOWNLOADING.__class__.values, 0))} == {
        (None, None)
    }
    page = text(operator.get(NOW))
    assert "Where 0 recordings stand" in page
    assert "Nothing is failed." in page


def test_the_page_says_in_words_what_is_well_and_what_is_not(operator: Client) -> None:
    for _ in range(4):
        recording(READY)
    recording(QUEUED)
    page = text(operator.get(NOW))
    assert "Ready 4 80.00 % 80 % or more ✓ well" in page
    assert "Failed 0 0.00 % under 1 % ✓ well" in page
    assert "Under way 1 20.00 % under 5 % ✗ not well" in page


def test_health_is_told_with_what_to_do(operator: Client, settings: Settings, tmp_path: Path) -> None:
    settings.RECORDINGS_ROOT = tmp_path / "nowhere"
    settings.RUN_DIR = tmp_path
    (tmp_path / "cluster.alive").touch()
    page = text(operator.get(NOW))
    assert "Database: ✓ well" in page
    assert "Storage: ✗ not well (its marker file is not there) Mount the disk" in page
    assert "Workers: ✓ well" in page
    hebrew = operator.get(NOW, headers={"Accept-Language": "he"})
    assert "האחסון: ✗ לא תקין (קובץ הסימון שלו אינו נמצא)" in text(hebrew)
    assert 'lang="en"' not in hebrew.content.decode(), "it would be read out as English"


def test_all_that_readyz_looks_at_is_on_the_page() -> None:
    assert set(faces()) == set(health.outcomes())


def test_the_oldest_that_waits_is_named_by_priority(operator: Client) -> None:
    globex = business("globex")
    click = recording(QUEUED, globex, priority=PRIORITY_CLICK, last_enqueue_at=database_now(-300))
    recording(QUEUED, priority=PRIORITY_CLICK)
    bulk = recording(QUEUED, last_enqueue_at=database_now(-7300))
    page = text(operator.get(NOW))
    assert re.search(rf"Clicks: 2 ; the oldest: {click.call_sid} \( Globex \), since [\d: -]+, for 5 minutes", page)
    assert re.search(rf"Background: 1 ; the oldest: {bulk.call_sid} \( Acme \), since [\d: -]+, for 2 hours", page)


def test_downloads_are_told_with_their_worker_and_others_attempts_are_not(operator: Client) -> None:
    row = recording(DOWNLOADING, bytes_total=2_000)
    Attempt.objects.filter(recording=row).update(worker="host-7:4242")
    Attempt.objects.create(recording=row, token="0" * 32, worker="a-stale-one:1")
    page = text(operator.get(NOW))
    assert "worker host-7:4242 : 1" in page
    assert "0 / 2,000" in page
    assert "a-stale-one" not in page


def test_a_long_list_of_downloads_is_cut_and_says_so(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(now, "SHOWN", 2)
    for _ in range(5):
        recording(DOWNLOADING)
    assert "and 3 more" in text(operator.get(NOW))


def test_accounts_in_trouble_are_told_and_lead_to_their_page(operator: Client) -> None:
    globex, _well = business("globex"), business("initech")
    ProviderAccount.objects.filter(business=globex).update(
        broken_since=database_now(-60), paused_until=database_now(60)
    )
    response = operator.get(NOW)
    page = text(response)
    assert "The provider refuses its credentials since" in page
    assert "The provider asked to slow down" in page
    assert f'href="/admin/calls/business/{globex.pk}/change/"' in response.content.decode()
    assert "Initech" not in page
    ProviderAccount.objects.update(broken_since=None, paused_until=database_now(-1))
    assert "None is refused, asked to slow down or in trouble." in text(operator.get(NOW))
    ProviderAccount.objects.update(slowed_to=4, slowed_at=database_now(), rests_until=database_now(30))
    page = text(operator.get(NOW))
    assert "4 of 64 downloads at once" in page
    assert "What nobody clicked rests until" in page


def test_failures_are_counted_by_reason_in_words_with_the_code_and_what_becomes_of_them(operator: Client) -> None:
    recording(FAILED), recording(FAILED), recording(FAILED, **OVER)
    recording(FAILED, reason=Reason.NOT_YET, **OVER)
    recording(FAILED, reason=Reason.GONE, **FOR_GOOD)
    recording(FAILED, reason=Reason.UNAUTHORISED)  # it was not asked for: that is tried again
    recording(FAILED, reason=Reason.UNAUTHORISED, **FOR_GOOD)
    recording(FAILED, reason=Reason.DELETED, **FOR_GOOD)
    page = text(operator.get(NOW))
    assert "The download took too long stalled 3 2 are retried by themselves, 1 given up Retry these …" in page
    assert "not_yet 1 given up Retry these …" in page
    assert "gone 1 failed for good: only a forced retry asks again Force a retry …" in page
    assert "unauthorised 1 all are retried by themselves Retry these …" in page
    assert "unauthorised 1 failed for good" in page
    after = page.partition("deleted 1 deleted: never fetched again ")[2]
    assert after
    assert not after.startswith(("Retry", "Force"))


def test_the_day_is_drawn_and_said_as_a_table(operator: Client) -> None:
    recording(READY)
    StatusSample.objects.take()
    page = operator.get(NOW).content.decode()
    assert page.count('<svg class="plot"') == 7
    assert page.count("</title><desc") == 7
    assert "at least 1, at most 1, 1 at the end" in page
    assert page.count('<th scope="row"><bdi') >= 24
    content = page[page.index('id="content-main"') :]
    assert not re.search(r"<script|\sstyle=|\son[a-z]+=", content), "the policy forbids it"


def fill(count: int) -> None:
    """So many more recordings, in every status and with every trouble."""
    statuses = (MISSING, QUEUED, DOWNLOADING, READY, FAILED)
    made = [recording(status, business(f"company-{status}")) for status in statuses]
    columns = [field.attname for field in CallLog._meta.concrete_fields if field.attname not in {"id", "call_sid"}]
    for row in made:
        copies = [
            CallLog(**{name: getattr(row, name) for name in columns}, call_sid=f"{row.call_sid}-{number}")
            for number in range(count // len(made) - 1)
        ]
        CallLog.objects.bulk_create(copies)


def test_it_costs_the_same_queries_for_ten_and_for_a_thousand_recordings(operator: Client) -> None:
    operator.get(NOW)  # what is read once a process
    counts = []
    for more in (10, 990):
        fill(more)
        ProviderAccount.objects.update(broken_since=database_now())
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(NOW).status_code == 200
        counts.append(len(queries))
    assert CallLog.objects.count() == 1_000
    assert counts == [15, 15]


def test_it_is_linked_from_the_index_and_from_the_list(operator: Client) -> None:
    for path in ("/admin/", "/admin/recordings/recording/"):
        assert f'href="{NOW}"' in operator.get(path).content.decode()


# --- retry these ----------------------------------------------------------------------------------------------------


def retry(client: Client, reason: str, *, permanent: bool = False, confirmed: bool = True) -> Any:
    data = {"reason": reason, "permanent": "yes" if permanent else "no"}
    return client.post(RETRY, data | ({"confirmed": "yes"} if confirmed else {}), follow=True)


def test_a_retry_asks_first_and_does_nothing_yet(operator: Client) -> None:
    rows = [recording(FAILED, **OVER) for _ in range(2)]
    recording(FAILED, reason=Reason.NOT_YET)
    before = world()
    response = retry(operator, "stalled", confirmed=False)
    page = text(response)
    assert "The download took too long (stalled): Download these again now?" in page
    assert "2 recordings are selected." in page
    assert world() == before
    hidden = r'type="hidden" name="(reason|permanent|confirmed)" value="([^"]*)"'
    form = dict(re.findall(hidden, response.content.decode()))
    assert "2 enqueued" in text(operator.post(RETRY, form, follow=True))
    assert {read(row).recording_download_status for row in rows} == {QUEUED}


def test_it_retries_those_of_this_reason_and_no_others(operator: Client) -> None:
    due, over = recording(FAILED), recording(FAILED, **OVER)
    other, for_good = recording(FAILED, reason=Reason.NOT_YET), recording(FAILED, **FOR_GOOD)
    retry(operator, "stalled")
    statuses = [read(row).recording_download_status for row in (due, over, other, for_good)]
    assert statuses == [QUEUED, QUEUED, FAILED, FAILED]


def test_permanent_ones_are_forced_and_the_question_says_so(operator: Client) -> None:
    row, transient = recording(FAILED, reason=Reason.GONE, **FOR_GOOD), recording(FAILED, reason=Reason.GONE)
    assert "Force a retry of each all the same?" in text(retry(operator, "gone", permanent=True, confirmed=False))
    assert "1 enqueued" in text(retry(operator, "gone", permanent=True))
    assert read(row).recording_download_status == QUEUED
    assert read(transient).recording_download_status == FAILED


@pytest.mark.parametrize("reason", ["deleted", "no_such_reason"])
def test_deleted_ones_and_reasons_that_do_not_exist_are_refused(operator: Client, reason: str) -> None:
    row = recording(FAILED, reason=Reason.DELETED, **FOR_GOOD)
    assert retry(operator, reason, permanent=True).status_code == 404
    assert read(row).recording_download_status == FAILED


def test_what_has_been_retried_meanwhile_is_said(operator: Client) -> None:
    for confirmed in (False, True):
        assert "Nothing is failed for this reason any more" in text(retry(operator, "stalled", confirmed=confirmed))


def test_a_retry_is_a_post_with_its_csrf_token(operator: Client) -> None:
    assert operator.get(RETRY).status_code == 405
    row = recording(FAILED)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="operator"))
    strict.post(RETRY, {"reason": "stalled", "permanent": "no", "confirmed": "yes"})
    assert read(row).recording_download_status == FAILED


# --- who may --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [NOW, RETRY])
def test_a_member_is_no_operator(client: Client, path: str) -> None:
    client.force_login(make_member(business()).user)
    assert client.post(path).status_code == 302


@pytest.mark.parametrize("permission", ["view_business", "view_attempt"])
def test_staff_without_the_permission_see_nothing_of_it(client: Client, permission: str) -> None:
    other = staff(client, permission)
    assert other.get(NOW).status_code == other.post(RETRY, {"reason": "stalled"}).status_code == 403
    assert NOW not in other.get("/admin/").content.decode()


def test_staff_who_may_only_look_see_the_page_and_can_not_retry(client: Client) -> None:
    row, viewer = recording(FAILED), staff(client, "view_recording")
    ProviderAccount.objects.update(broken_since=database_now())
    response = viewer.get(NOW)
    assert "Retry these" not in text(response)
    assert "/admin/calls/business/" not in response.content.decode()
    assert retry(viewer, "stalled").status_code == 403
    assert read(row).recording_download_status == FAILED


def test_staff_who_may_change_recordings_retry(client: Client) -> None:
    row = recording(FAILED)
    assert "1 enqueued" in text(retry(staff(client, "view_recording", "change_recording"), "stalled"))
    assert read(row).recording_download_status == QUEUED
