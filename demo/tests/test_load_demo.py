"""load_demo: two companies whose calls stand in all states, through the import and the queue; loaded once."""

import io
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django.fixtures import Settings
from rest_framework.authtoken.models import Token

from calls.models import Business, CallLog, Member
from demo.addresses import parse
from demo.data import COMPANIES, DOWNLOADED, OPERATOR, PASSWORD, PROGRAM, TOKEN, TROUBLED, WAITING, lines
from demo.misbehaviour import TABLE
from demo.provider import Provider
from recordings.download.providers import Account, media_url
from recordings.lifecycle import Answer, Ask
from recordings.models import ProviderAccount, Recording

URL = "http://127.0.0.1:8100"


@pytest.fixture(autouse=True)
def allowed_hosts(settings: Settings) -> None:
    settings.RECORDINGS_ALLOW_PRIVATE_HOSTS = frozenset({"127.0.0.1:8100", "127.0.0.1:8101"})


def load(url: str = URL, *options: str) -> dict[str, object]:
    out = io.StringIO()
    call_command("load_demo", "--provider-url", url, "--json", *options, stdout=out)
    report: dict[str, object] = json.loads(out.getvalue())
    return report


def everything() -> list[Any]:
    models: tuple[Any, ...] = (Business, ProviderAccount, User, Member, Token, CallLog)
    return [list(model.objects.order_by("pk").values()) for model in models]


@pytest.mark.django_db
def test_each_business_has_some_forty_calls_of_all_kinds() -> None:
    load()
    assert sorted(Business.objects.values_list("timezone", flat=True)) == ["America/New_York", "Asia/Jerusalem"]
    for business in Business.objects.all():
        calls = CallLog.objects.filter(business=business)
        assert 38 <= calls.count() <= 45
        states = Counter(calls.filter(recording_url__isnull=False).values_list("recording_download_status", flat=True))
        assert states == {"queued": len(DOWNLOADED) + len(TROUBLED), "missing": len(WAITING)}
        assert calls.filter(recording_url=None).count() >= 5
        now = datetime.now(UTC)
        assert not calls.filter(started_at__gt=now).exists()
        assert calls.filter(started_at__gt=now - timedelta(minutes=10)).count() == 1
        assert calls.exclude(agent="").values("agent").distinct().count() == 4


@pytest.mark.django_db
def test_a_person_may_press_play_at_once() -> None:
    load()
    waiting = Recording.objects.filter(recording_download_status="missing").first()
    assert waiting is not None
    assert Recording.objects.ask(waiting, Ask.PLAY) == Answer.ENQUEUED


@pytest.mark.django_db
def test_the_logins_are_good() -> None:
    load()
    for company in COMPANIES:
        for name, role in ((company.listener, "listener"), (company.manager, "manager")):
            user = authenticate(username=name, password=PASSWORD)
            assert user is not None
            member = Member.objects.get(user__username=name)
            assert (member.role, member.business.slug) == (role, company.slug)
    operator = authenticate(username=OPERATOR, password=PASSWORD)
    assert operator is not None
    assert User.objects.get(username=OPERATOR).is_superuser
    assert not Member.objects.filter(user__username=OPERATOR).exists()
    assert Token.objects.get(key=TOKEN).user.username == PROGRAM
    assert len(TOKEN) == 40


@pytest.mark.django_db
def test_loading_again_keeps_everything() -> None:
    load()
    call = CallLog.objects.first()
    assert call is not None
    CallLog.objects.filter(pk=call.pk).update(agent="Changed")
    before = everything()
    assert load()["loaded"] == []
    assert everything() == before


@pytest.mark.django_db
def test_the_accounts_follow_the_provider_to_another_port() -> None:
    load()
    calls = list(CallLog.objects.order_by("pk").values())
    load("http://127.0.0.1:8101")
    assert set(ProviderAccount.objects.values_list("base_url", "hosts")) == {
        ("http://127.0.0.1:8101", "127.0.0.1:8101")
    }
    assert list(CallLog.objects.order_by("pk").values()) == calls


@pytest.mark.django_db
def test_somebody_elses_business_is_left_alone() -> None:
    other = Business.objects.create(slug="acme", name="Acme")
    ProviderAccount.objects.create(business=other, kind="generic", base_url="http://127.0.0.1:9", hosts="127.0.0.1:9")
    load()
    load("http://127.0.0.1:8101")
    assert other.provider_account.base_url == "http://127.0.0.1:9"


@pytest.mark.django_db
def test_a_dry_run_writes_nothing() -> None:
    assert load(URL, "--dry-run")["loaded"] == [company.slug for company in COMPANIES]
    assert not any(everything())


ELSEWHERE = [("BIND", "0.0.0.0"), ("PUBLIC_URL", "https://calls.example.org"), ("RECORDINGS_ACCEL", "/_recordings/")]


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "value"), ELSEWHERE)
def test_it_is_refused_where_others_could_log_in(settings: Settings, name: str, value: str) -> None:
    setattr(settings, name, value)
    with pytest.raises(CommandError, match="this machine only") as refused:
        load()
    assert refused.value.returncode == 3
    assert not any(everything())


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "value"), ELSEWHERE)
def test_demo_logins_fail_the_system_check_where_others_could_use_them(
    settings: Settings, name: str, value: str
) -> None:
    load()
    assert [error.id for error in run_checks() if error.id == "demo.E001"] == []
    setattr(settings, name, value)
    assert [error.id for error in run_checks() if error.id == "demo.E001"] == ["demo.E001"]
    User.objects.all().delete()
    assert [error.id for error in run_checks() if error.id == "demo.E001"] == []


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:8100", "http://example.com:8100", "http://127.0.0.1", "http://[", "x"]
)
@pytest.mark.django_db
def test_a_provider_elsewhere_is_a_usage_error(url: str) -> None:
    with pytest.raises(CommandError) as refused:
        load(url)
    assert refused.value.returncode == 2


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.mark.parametrize("company", COMPANIES, ids=lambda company: company.slug)
def test_every_recording_means_at_the_provider_what_it_says_here(company: object, provider: Provider) -> None:
    (chosen,) = [one for one in COMPANIES if one is company]
    account = Account(chosen.provider, provider.base_url, (provider.address,), "basic", chosen.username, chosen.secret)
    named = Counter(misbehaviour for _audio, misbehaviour in (*DOWNLOADED, *TROUBLED, *WAITING) if misbehaviour)
    named.pop("elsewhere")
    found: Counter[str] = Counter()
    for call in lines(chosen, datetime.now(UTC)):
        url = str(call.get("recording_url", ""))
        if not url.startswith("/"):
            continue
        address = parse(media_url(account, url, str(call["recording_sid"])).removeprefix(provider.base_url))
        assert address is not None
        found.update([address.misbehaviour] if address.misbehaviour else [])
        audio = provider.audio(media_url(account, url, str(call["recording_sid"])))
        assert audio.duration is not None
        assert abs(audio.duration - call["duration"]) < 2
    assert found == named
    assert set(named) <= set(TABLE)


def test_data_is_the_same_but_for_the_time() -> None:
    now = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
    first, again = lines(COMPANIES[0], now), lines(COMPANIES[0], now)
    assert first == again
    later = lines(COMPANIES[0], now + timedelta(minutes=1))
    assert [call["call_sid"] for call in later] == [call["call_sid"] for call in first]
    assert len({call["call_sid"] for call in first}) == len(first)
    assert {urlsplit(str(call["recording_url"])).netloc for call in first if "recording_url" in call} == {
        "", "recordings.elsewhere.example",
    }  # fmt: skip
