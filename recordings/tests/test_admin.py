"""The operators' pages: counts, filters, read-only facts, actions through the verbs, and no query a row."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_q.models import OrmQ, Schedule, Task

from calls.clock import now
from calls.models import PRIORITY_CLICK, Business, CallLog
from calls.tests.factories import make_member
from recordings import bell
from recordings.models import Attempt, Outcome, ProviderAccount, Recording
from recordings.reasons import Reason
from recordings.tests import rows
from recordings.tests.rows import (
    DOWNLOADING,
    FAILED,
    MISSING,
    QUEUED,
    READY,
    bells,
    business,
    read,
    recording,
    world,
)  # fmt: skip

pytestmark = pytest.mark.django_db
RECORDINGS = "/admin/recordings/recording/"
FOR_GOOD: dict[str, Any] = {"permanent": True, "next_retry_at": None}


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
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", response.content.decode()))


# --- the lists ------------------------------------------------------------------------------------------------------


def test_recordings_are_listed_with_where_they_stand_and_why(operator: Client) -> None:
    row = recording(FAILED, business("globex"), fail_count=3)
    recording(url=None)
    page = text(operator.get(RECORDINGS))
    assert all(word in page for word in (row.call_sid, "Globex", "Failed", "stalled", "1 recording"))


def test_the_counts_are_those_of_what_the_filters_leave(operator: Client) -> None:
    recording(READY), recording(READY, business("globex")), recording(FAILED)
    recording(FAILED, reason=Reason.GONE, **FOR_GOOD)
    page = text(operator.get(RECORDINGS))
    assert "Not downloaded: 0 · Waiting: 0 · Downloading: 0 · Ready: 2 · Failed: 2" in page
    assert "Failed: gone: 1 · stalled: 1" in page
    globex = Business.objects.get(slug="globex").pk
    assert "Ready: 1 · Failed: 0" in text(operator.get(RECORDINGS, {"business__id__exact": globex}))
    assert "Ready: 0 · Failed: 1" in text(operator.get(RECORDINGS, {"recording_reason": "gone"}))


@pytest.mark.parametrize("query", [
    {"recording_download_status__exact": "failed"}, {"recording_reason": "stalled"}, {"q": "CA"}, {"q": "+972 54"},
    {"started_at__year": "2026"}, {"o": "-4"}, {"p": "1"},
])  # fmt: skip
def test_every_filter_search_and_order_answers(operator: Client, query: dict[str, str]) -> None:
    recording(FAILED)
    assert operator.get(RECORDINGS, query).status_code == 200


LISTS = [
    RECORDINGS, "/admin/recordings/attempt/", "/admin/calls/calllog/", "/admin/calls/business/",
    "/admin/django_q/success/", "/admin/django_q/failure/", "/admin/django_q/schedule/", "/admin/django_q/ormq/",
]  # fmt: skip


def fill(count: int) -> None:
    for number in range(count):
        recording(DOWNLOADING, business(f"company-{number}"))
        bell.ring()


@pytest.mark.parametrize("path", [*LISTS, "/admin/"])
def test_every_page_of_the_admin_answers(operator: Client, path: str) -> None:
    fill(2)
    assert operator.get(path).status_code == 200


@pytest.mark.parametrize("path", LISTS[:4])
def test_no_list_makes_a_query_a_row(operator: Client, path: str) -> None:
    operator.get(path)  # what is read once a process
    counts = []
    for more in (10, 40):
        fill(more)
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(path).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 14


def test_one_recording_with_many_attempts_makes_no_query_an_attempt(operator: Client) -> None:
    row = recording(FAILED)
    operator.get(f"{RECORDINGS}{row.pk}/change/")  # what is read once a process
    counts = []
    for more in (1, 30):
        for number in range(more):
            token = f"{more:02}{number:030}"
            Attempt.objects.create(recording=row, token=token, outcome=Outcome.FAILED, ended_at=now())
        with CaptureQueriesContext(connection) as queries:
            page = operator.get(f"{RECORDINGS}{row.pk}/change/").content.decode()
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert page.count('class="field-began"') == 31
    assert re.search(r"[0-9-]{10}</span> [0-9]{2}:[0-9]{2}:[0-9]{2}</bdi>", page), "to the second"
    assert token not in page


# --- read-only ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["recordings/recording", "recordings/attempt", "calls/calllog"])
def test_what_happened_is_neither_added_nor_changed_nor_deleted_by_hand(operator: Client, path: str) -> None:
    row = recording(DOWNLOADING)
    pk = Attempt.objects.get().pk if "attempt" in path else row.pk
    before = world()
    assert operator.get(f"/admin/{path}/add/").status_code == 403
    assert operator.post(f"/admin/{path}/{pk}/delete/", {"post": "yes"}).status_code == 403
    assert operator.post(f"/admin/{path}/{pk}/change/", {"recording_download_status": "ready"}).status_code == 403
    assert operator.get(f"/admin/{path}/{pk}/change/").status_code == 200
    assert world() == before


def test_no_column_of_the_life_cycle_can_be_typed_into(operator: Client) -> None:
    page = operator.get(f"{RECORDINGS}{recording(FAILED).pk}/change/").content.decode()
    assert "recording_download_status" in page
    assert not re.search(r'<(input|select|textarea)[^>]+name="(recording_|attempts-\d)', page)


QUEUE = ["schedule", "success", "failure", "ormq"]


def queue_row(name: str) -> Any:
    """A row of the queue's own tables."""
    if name == "schedule":
        return Schedule.objects.create(name="planted by nobody", func="recordings.tasks.sweep")
    if name == "ormq":
        bell.ring()
        return OrmQ.objects.get()
    task = {"id": "a" * 32, "name": "done", "func": "recordings.tasks.drain", "started": now(), "stopped": now()}
    return Task.objects.create(success=name == "success", **task)


@pytest.mark.parametrize("name", QUEUE)
def test_the_queue_is_looked_at_and_never_written(operator: Client, name: str) -> None:
    row, list_of = queue_row(name), f"/admin/django_q/{name}/"
    assert operator.get(list_of).status_code == 200
    assert operator.get(f"{list_of}{row.pk}/change/").status_code == 200
    assert operator.get(f"{list_of}add/").status_code == 403
    assert operator.post(f"{list_of}add/", {"func": "os.system", "args": "'id'"}).status_code == 403
    assert operator.post(f"{list_of}{row.pk}/change/", {"func": "os.system"}).status_code == 403
    assert operator.post(f"{list_of}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    for action in ("resubmit_task", "delete_selected"):
        operator.post(list_of, {"action": action, "_selected_action": [row.pk], "post": "yes"})
    assert not Schedule.objects.filter(func="os.system").exists()
    assert type(row).objects.filter(pk=row.pk).exists()
    assert OrmQ.objects.count() == (name == "ormq")


def test_no_page_shows_the_tokens_of_programs(operator: Client) -> None:
    assert operator.get("/admin/authtoken/tokenproxy/").status_code == 404
    assert "authtoken" not in operator.get("/admin/").content.decode()


def test_a_recording_s_address_is_shown_without_its_query(operator: Client) -> None:
    row = recording(MISSING, url="https://media.example/audio.wav?signature=abc")
    page = operator.get(f"{RECORDINGS}{row.pk}/change/").content.decode()
    assert "https://media.example/audio.wav?…" in page
    assert "signature" not in page


# --- actions --------------------------------------------------------------------------------------------------------


def act(client: Client, action: str, *selected: CallLog, confirmed: bool = True, **more: str) -> Any:
    data = {"action": action, "_selected_action": [row.pk for row in selected]} | more
    return client.post(RECORDINGS, data | ({"confirmed": "yes"} if confirmed else {}), follow=True)


@pytest.mark.parametrize("action", ["download", "retry", "reset_stuck"])
def test_an_action_asks_first_and_does_nothing_yet(operator: Client, action: str) -> None:
    missing, stuck = recording(MISSING), recording(DOWNLOADING)
    rows.pass_time(60)
    before = world()
    response = act(operator, action, missing, stuck, confirmed=False)
    page = text(response)
    assert "2 recordings are selected." in page
    assert "Not downloaded: 1" in page
    assert world() == before
    form = response.content.decode()
    hidden = dict(re.findall(r'name="(action|confirmed|select_across|index)" value="([^"]*)"', form))
    again = operator.post(
        RECORDINGS, hidden | {"_selected_action": re.findall(r'_selected_action" value="(\d+)"', form)}
    )
    assert again.status_code == 302
    assert world() != before


def test_download_says_what_became_of_each(operator: Client) -> None:
    chosen = [
        recording(MISSING), recording(FAILED), recording(QUEUED), recording(DOWNLOADING), recording(READY),
        recording(FAILED, reason=Reason.GONE, **FOR_GOOD), recording(MISSING, last_enqueue_at=now()),
    ]  # fmt: skip
    page = text(act(operator, "download", *chosen))
    words = "2 enqueued, 2 under way already, 1 ready already, 1 asked for less than a minute ago, 1 failed for good"
    assert words in page
    assert bells() == 1
    assert {read(row).recording_priority for row in chosen[:3]} == {PRIORITY_CLICK}


def test_retry_beats_a_permanent_failure_and_no_deletion(operator: Client) -> None:
    refused = recording(FAILED, reason=Reason.UNAUTHORISED, **FOR_GOOD)
    deleted = recording(FAILED, reason=Reason.DELETED, **FOR_GOOD)
    assert "1 enqueued, 1 failed for good" in text(act(operator, "retry", refused, deleted))
    assert read(refused).recording_download_status == QUEUED
    assert read(deleted).recording_reason == Reason.DELETED


def test_reset_releases_what_has_no_heartbeat_among_the_selected_and_leaves_what_works(operator: Client) -> None:
    stuck, unselected, works = recording(DOWNLOADING), recording(DOWNLOADING), recording(DOWNLOADING)
    rows.pass_time(31, stuck)
    rows.pass_time(31, unselected)
    assert "1 released, 1 left as they are" in text(act(operator, "reset_stuck", stuck, works))
    statuses = [read(row).recording_download_status for row in (stuck, unselected, works)]
    assert statuses == [QUEUED, DOWNLOADING, DOWNLOADING]


def test_all_that_the_filters_leave_can_be_selected_across_pages(operator: Client) -> None:
    first = [recording(FAILED) for _ in range(3)]
    other = recording(MISSING)
    data = {"action": "download", "_selected_action": [first[0].pk], "select_across": "1", "confirmed": "yes"}
    operator.post(f"{RECORDINGS}?recording_download_status__exact=failed", data)
    assert {read(row).recording_download_status for row in first} == {QUEUED}
    assert read(other).recording_download_status == MISSING
    assert bells() == 1


# --- accounts -------------------------------------------------------------------------------------------------------


def account_page(client: Client, company: Business, **changes: str) -> Any:
    """Save the page of a business with these changes of its account."""
    account = company.provider_account
    fields = ("kind", "base_url", "hosts", "auth", "username", "secret_env")
    values = {name: getattr(account, name) for name in fields} | {"secret": "", "id": account.pk} | changes
    data: dict[str, Any] = {"name": company.name, "slug": company.slug, "timezone": company.timezone}
    for prefix, count in (("members", 0), ("provider_account", 1)):
        data |= {f"{prefix}-TOTAL_FORMS": count, f"{prefix}-INITIAL_FORMS": count}
    data |= {f"provider_account-0-{name}": value for name, value in values.items()}
    data["provider_account-0-business"] = company.pk
    return client.post(f"/admin/calls/business/{company.pk}/change/", data, follow=True)


@pytest.fixture
def company() -> Business:
    made = business("globex")
    facts = {"auth": "basic", "username": "AC1", "secret": "open sesame"}
    ProviderAccount.objects.filter(business=made).update(
        broken_since=now(-60), broken_at=now(), paused_until=now(60), **facts
    )
    return Business.objects.get(pk=made.pk)


def test_a_secret_is_never_shown_back_and_an_empty_one_keeps_it(operator: Client, company: Business) -> None:
    page = operator.get(f"/admin/calls/business/{company.pk}/change/").content.decode()
    assert 'type="password"' in page
    assert "open sesame" not in page
    account_page(operator, company, username="AC2")
    account = ProviderAccount.objects.get(business=company)
    assert (account.username, account.secret) == ("AC2", "open sesame")
    account_page(operator, company, secret="new words")
    assert ProviderAccount.objects.get(business=company).secret == "new words"


@pytest.mark.parametrize("changes", [
    {"base_url": "https://evil.example", "hosts": "evil.example, {hosts}"}, {"hosts": "evil.example, {hosts}"},
])  # fmt: skip
def test_a_secret_that_is_kept_is_typed_again_before_it_goes_elsewhere(
    operator: Client, company: Business, changes: dict[str, str]
) -> None:
    account = company.provider_account
    elsewhere = {name: value.format(hosts=account.hosts) for name, value in changes.items()}
    assert "Type the secret again" in text(account_page(operator, company, **elsewhere))
    assert ProviderAccount.objects.get(business=company).hosts == account.hosts
    account_page(operator, company, secret="open sesame", **elsewhere)
    assert ProviderAccount.objects.get(business=company).hosts == elsewhere["hosts"]


def test_a_path_of_the_base_address_changes_without_the_secret(operator: Client, company: Business) -> None:
    account_page(operator, company, base_url=f"{company.provider_account.base_url}/v2")
    account = ProviderAccount.objects.get(business=company)
    assert (account.base_url[-3:], account.secret) == ("/v2", "open sesame")


def test_a_secret_that_a_variable_replaces_is_forgotten_when_the_account_moves(
    operator: Client, company: Business
) -> None:
    moved = f"{company.provider_account.hosts}, evil.example"
    account_page(operator, company, secret_env="GLOBEX_SECRET", hosts=moved)
    account = ProviderAccount.objects.get(business=company)
    assert (account.hosts, account.secret_env, account.secret) == (moved, "GLOBEX_SECRET", "")


def test_a_refused_account_is_shown_and_saving_tries_it_anew(operator: Client, company: Business) -> None:
    assert "refused by the provider" in text(operator.get("/admin/calls/business/"))
    recording(FAILED, company, reason=Reason.UNAUTHORISED, **FOR_GOOD)
    page = text(account_page(operator, company, secret="right this time"))
    assert "1 recording failed because the provider refused the credentials" in page
    account = ProviderAccount.objects.get(business=company)
    assert (account.broken_since, account.broken_at, account.paused_until) == (None, None, None)
    assert "refused by the provider" not in text(operator.get("/admin/calls/business/"))


@pytest.mark.parametrize(("changes", "words"), [
    ({"base_url": "http://10.0.0.1"}, "must be https"),
    ({"hosts": ""}, "required"),
    ({"hosts": "https://x"}, "is not a host"),
    ({"hosts": "elsewhere.example"}, "host of the base address"),
    ({"username": ""}, "needs a user name"),
    ({"secret_env": "SECRET_KEY"}, "ending in _SECRET, _TOKEN or _KEY"),
])  # fmt: skip
def test_an_account_that_could_never_fetch_anything_is_refused(
    operator: Client, company: Business, changes: dict[str, str], words: str
) -> None:
    assert words in text(account_page(operator, company, **changes))
    assert ProviderAccount.objects.get(business=company).broken_since is not None


def test_a_business_can_be_made_here_with_no_account(operator: Client) -> None:
    data = {"name": "Initech", "slug": "initech", "timezone": "Asia/Jerusalem"}
    for prefix in ("members", "provider_account"):
        data |= {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"}
    assert operator.post("/admin/calls/business/add/", data).status_code == 302
    assert "none: nothing can be downloaded" in text(operator.get("/admin/calls/business/"))


# --- who may --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LISTS)
def test_a_member_is_no_operator(client: Client, path: str) -> None:
    client.force_login(make_member(business()).user)
    assert client.get(path).status_code == 302


def test_staff_see_what_they_were_given_of_all_companies(client: Client) -> None:
    recording(FAILED, business("globex")), recording(FAILED, business("initech"))
    viewer = staff(client, "view_recording")
    page = text(viewer.get(RECORDINGS))
    assert all(name in page for name in ("Globex", "Initech"))
    assert viewer.get("/admin/calls/business/").status_code == 403


def test_staff_who_may_only_look_can_not_act(client: Client) -> None:
    row = recording(MISSING)
    act(staff(client, "view_recording"), "download", row)
    assert read(row).recording_download_status == MISSING


def test_staff_who_may_change_recordings_act(client: Client) -> None:
    row = recording(MISSING)
    act(staff(client, "view_recording", "change_recording"), "download", row)
    assert read(row).recording_download_status == QUEUED


def test_the_admin_knows_every_model_of_ours(operator: Client) -> None:
    names = ("calls_business", "calls_calllog", "recordings_recording", "recordings_attempt")
    assert all(reverse(f"admin:{name}_changelist") for name in names)
    assert Recording.objects.count() == 0


# --- in words ------------------------------------------------------------------------------------------------------


def test_the_list_says_why_in_words_with_the_code_under_the_pointer(operator: Client) -> None:
    recording(FAILED, reason=Reason.UNAUTHORISED, **FOR_GOOD)
    page = operator.get(RECORDINGS).content.decode()
    assert '<span title="unauthorised">The provider refused our credentials</span>' in page
    assert "Times are in UTC" in page


def test_the_list_says_when_a_failed_one_is_tried_again(operator: Client) -> None:
    row = recording(FAILED)
    assert row.recording_next_retry_at is not None
    again = f"{row.recording_next_retry_at:%H:%M:%S}"
    assert f"The download took too long · again at {again}" in text(operator.get(RECORDINGS))


def test_the_filter_of_reasons_has_words_and_the_code_beside_them(operator: Client) -> None:
    assert "The provider refused our credentials (unauthorised)" in text(operator.get(RECORDINGS))


def test_numbers_read_from_left_to_right_in_hebrew_too(operator: Client) -> None:
    row = recording()
    CallLog.objects.filter(pk=row.pk).update(from_number="+97231234567")
    isolated = '<bdi dir="ltr">+97231234567</bdi>'
    for path in ("/admin/calls/calllog/", f"/admin/calls/calllog/{row.pk}/change/", f"{RECORDINGS}{row.pk}/change/"):
        assert isolated in operator.get(path, headers={"accept-language": "he"}).content.decode()


def test_an_action_on_rows_that_have_left_the_list_says_so(operator: Client) -> None:
    row = recording(READY)
    data = {"action": "download", "_selected_action": [row.pk]}
    page = text(operator.post(f"{RECORDINGS}?recording_download_status__exact=failed", data, follow=True))
    assert "None of what you selected is in this list any more" in page


def test_the_list_of_businesses_tells_a_pause_only_while_it_lasts(operator: Client, company: Business) -> None:
    def column() -> str:
        page = operator.get("/admin/calls/business/").content.decode()
        return str(re.findall(r'field-paused_until[^>]*">([^<]*)<', page)[0])

    assert column() != "-"
    ProviderAccount.objects.update(paused_until=now(-1))
    assert column() == "-"


@pytest.mark.parametrize(("facts", "words"), [
    ({"auth": "none"}, "Not needed."),
    ({"secret": ""}, "No: type it above."),
    ({}, "Yes, in this account."),
    ({"secret_env": "GLOBEX_SECRET"}, "The variable GLOBEX_SECRET is not set where the web runs"),
    ({"secret_env": "HELD_SECRET"}, "The variable HELD_SECRET is set where the web runs."),
])  # fmt: skip
def test_the_page_of_an_account_tells_whether_there_is_a_secret(
    operator: Client, company: Business, facts: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELD_SECRET", "open sesame")
    ProviderAccount.objects.filter(business=company).update(**facts)
    page = text(operator.get(f"/admin/calls/business/{company.pk}/change/"))
    assert words in page
    assert "open sesame" not in page


def test_the_page_of_an_account_tells_how_many_downloads_it_has_at_once_and_why_fewer(operator: Client) -> None:
    page = f"/admin/calls/business/{business().pk}/change/"
    ProviderAccount.objects.update(most_at_once=20)
    assert "20" in text(operator.get(page))
    ProviderAccount.objects.update(slowed_to=4, slowed_at=now())
    assert "4 of 20: the provider was in trouble" in text(operator.get(page))
    ProviderAccount.objects.update(rests_until=now(30))
    assert "background downloads rest until" in text(operator.get(page))
