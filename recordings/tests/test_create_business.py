"""create_business: a company with its account, or words about what is wrong and nothing written."""

import io
import json

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django.fixtures import Settings

from calls.models import Business
from calls.tests.factories import make_business
from recordings.models import ProviderAccount

pytestmark = pytest.mark.django_db

TWILIO = {
    "--name": "Acme", "--timezone": "Asia/Jerusalem", "--provider": "twilio", "--base-url": "https://api.twilio.com",
    "--hosts": "api.twilio.com", "--auth": "basic", "--username": "AC1", "--secret-env": "ACME_SECRET",
}  # fmt: skip


def run(slug: str = "acme", *flags: str, **changes: str | None) -> tuple[int, str, str]:
    """Exit code, stdout, stderr. `changes` replace options (`base_url="…"`) or leave them out (None)."""
    options = TWILIO | {"--" + name.replace("_", "-"): value for name, value in changes.items()}
    given = [part for name, value in options.items() if value is not None for part in (name, value)]
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("create_business", slug, *given, *flags, stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), err.getvalue() + str(error)
    return 0, out.getvalue(), err.getvalue()


def nothing_written() -> bool:
    return not Business.objects.exists() and not ProviderAccount.objects.exists()


def test_a_business_is_created_with_its_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_SECRET", "s3cret")
    assert run() == (0, "Created acme, with a twilio account.\n", "")
    business = Business.objects.get()
    assert (business.slug, business.name, business.timezone) == ("acme", "Acme", "Asia/Jerusalem")
    account = business.provider_account
    assert (account.kind, account.base_url, account.host_list()) == (
        "twilio",
        "https://api.twilio.com",
        ("api.twilio.com",),
    )
    assert (account.auth, account.username, account.secret_env, account.secret) == ("basic", "AC1", "ACME_SECRET", "")
    assert account.current_secret() == "s3cret"


def test_an_account_may_do_without_credentials() -> None:
    code, _out, err = run(provider="generic", auth="none", username=None, secret_env=None, timezone=None)
    assert (code, err) == (0, "")
    assert Business.objects.get().timezone == "UTC"


@pytest.mark.parametrize("name", ["ACME_SECRET", "TWILIO_AUTH_TOKEN", "ACME_API_KEY", "A_KEY"])
def test_the_variable_of_a_secret_says_by_its_name_that_it_holds_one(name: str) -> None:
    assert run(secret_env=name)[0] == 0
    assert ProviderAccount.objects.get().secret_env == name


def test_what_is_still_to_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACME_SECRET", raising=False)
    assert "ACME_SECRET is not set here" in run("a")[2]
    err = run("b", secret_env=None)[2]
    assert f"set the secret at {settings.PUBLIC_URL}/admin/calls/business/{Business.objects.get(slug='b').pk}/" in err
    assert "own host is not among --hosts" in run("c", hosts="media.twilio.com")[2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"timezone": "Mars/Olympus"}, "is not a time zone"),
        ({"name": " "}, "--name"),
        ({"base_url": "http://api.twilio.com"}, "RECORDINGS_ALLOW_PRIVATE_HOSTS"),
        ({"base_url": "https://api.twilio.com:8443"}, "RECORDINGS_ALLOW_PRIVATE_HOSTS names api.twilio.com:8443"),
        ({"base_url": "api.twilio.com"}, "https://api.example.com"),
        ({"base_url": "https://AC1:secret@api.twilio.com"}, "no user name"),
        ({"base_url": "https://api.twilio.com?x=1"}, "no query"),
        ({"base_url": "https://[::1"}, "https://api.example.com"),
        ({"hosts": " , "}, "at least one host"),
        ({"hosts": "https://api.twilio.com"}, "is not a host"),
        ({"hosts": "api.twilio.com, two words"}, "is not a host"),
        ({"hosts": "api.twilio.com:0"}, "is not a host"),
        ({"hosts": "api.twilio.com:8443"}, "only port 443"),
        ({"username": None}, "--username"),
        ({"auth": "none"}, "--secret-env goes with"),
        ({"secret_env": "not a name!"}, "name of an environment variable"),
        ({"secret_env": "acme_secret"}, "ending in _SECRET, _TOKEN or _KEY"),
        ({"secret_env": "DATABASE_URL"}, "ending in _SECRET, _TOKEN or _KEY"),
        ({"secret_env": "SECRET_KEY"}, "not in SECRET_KEY"),
        ({"secret_env": "OUR_SECRET_KEY"}, "not in SECRET_KEY"),
        ({"secret_env": "ACME_SECRET\n_KEY"}, "name of an environment variable"),
    ],
)
def test_what_can_not_work_is_refused_in_words_and_nothing_is_written(
    changes: dict[str, str | None], words: str
) -> None:
    code, out, err = run("acme", **changes)
    assert code == 2
    assert words in err
    assert out == ""
    assert nothing_written()


@pytest.mark.parametrize("slug", ["Two Words", "a/b", "x" * 51])
def test_a_slug_that_is_none_is_refused(slug: str) -> None:
    code, _out, err = run(slug)
    assert code == 2
    assert "SLUG" in err


def test_all_that_is_wrong_is_said_at_once() -> None:
    _code, _out, err = run(timezone="Mars/Olympus", hosts="", base_url="ftp://x")
    assert "--timezone" in err
    assert "at least one host" in err
    assert "https://api.example.com" in err


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8100", "http://[::1]:8100", "https://calls.internal:8100"])
def test_an_address_that_the_settings_allow_is_taken(settings: Settings, base_url: str) -> None:
    host = base_url.partition("//")[2]
    settings.RECORDINGS_ALLOW_PRIVATE_HOSTS = frozenset({host})
    assert run(base_url=base_url, hosts=host)[0] == 0


def test_one_that_is_there_is_left_as_it_is_and_the_words_say_where_to_change_it() -> None:
    business = make_business("acme", name="Old")
    code, _out, err = run()
    assert code == 2
    assert f"/admin/calls/business/{business.pk}/change/" in err
    assert Business.objects.get().name == "Old"
    assert not ProviderAccount.objects.exists()


def test_a_dry_run_checks_the_same_and_writes_nothing() -> None:
    code, out, _err = run("acme", "--dry-run", "--json")
    assert code == 0
    report = json.loads(out)
    assert (report["business"], report["created"], report["dry_run"]) == ("acme", False, True)
    assert nothing_written()
    assert run("acme", "--dry-run", timezone="Mars")[0] == 2
