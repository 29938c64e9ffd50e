"""create_member: a person who can log in, a program with a token, or words about what is wrong."""

import io
import json
import sys

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from rest_framework.authtoken.models import Token

from calls.models import Business, Member
from calls.tests.factories import make_business, make_member

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


@pytest.fixture
def acme() -> Business:
    return make_business("acme")


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(PASSWORD + "\n"))


def run(user: str, *options: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("create_member", user, "--business", "acme", "--role", "manager", *options, stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), err.getvalue() + str(error)
    return 0, out.getvalue(), err.getvalue()


@pytest.mark.usefixtures("stdin")
def test_a_person_logs_in_with_the_password_from_standard_input(acme: Business) -> None:
    assert run("anna", "--password-stdin") == (0, "Created anna, manager of acme.\n", "")
    member = Member.objects.get()
    assert (member.business, member.role, member.user.username) == (acme, "manager", "anna")
    assert authenticate(username="anna", password=PASSWORD) == member.user
    assert not Token.objects.exists()


@pytest.mark.usefixtures("acme")
def test_a_program_gets_a_token_as_the_last_line_and_no_password() -> None:
    code, out, _err = run("crm", "--token")
    assert code == 0
    token = Token.objects.get()
    assert out.splitlines()[-1] == token.key
    assert not token.user.has_usable_password()


@pytest.mark.usefixtures("acme", "stdin")
def test_the_report_as_json_carries_the_token_and_never_the_password() -> None:
    _code, out, _err = run("anna", "--password-stdin", "--token", "--json")
    report = json.loads(out)
    assert report["token"] == Token.objects.get().key
    assert (report["user"], report["business"], report["role"], report["created"]) == ("anna", "acme", "manager", True)
    assert PASSWORD not in out


@pytest.mark.usefixtures("acme")
def test_one_who_could_not_log_in_is_refused() -> None:
    code, _out, err = run("anna")
    assert code == 2
    assert "--password-stdin" in err
    assert not User.objects.exists()


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("password", ["", "12345678", "anna-banana"])
def test_a_weak_password_is_refused_in_words(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(password))
    code, _out, err = run("anna-banana", "--password-stdin")
    assert code == 2
    assert "Password:" in err
    assert not User.objects.exists()


@pytest.mark.usefixtures("acme")
def test_a_name_that_can_not_be_one_is_refused() -> None:
    code, _out, err = run("an na", "--token")
    assert code == 2
    assert "USER" in err


@pytest.mark.usefixtures("stdin")
def test_a_user_who_is_there_is_left_as_it_is(acme: Business) -> None:
    there = make_member(make_business("globex"), "anna")
    code, _out, err = run("anna", "--password-stdin")
    assert code == 2
    assert "listener of globex" in err
    assert f"/admin/auth/user/{there.user_id}/change/" in err
    assert list(Member.objects.all()) == [there]
    assert authenticate(username="anna", password=PASSWORD) is None


def test_an_unknown_business_is_a_usage_error() -> None:
    code, _out, err = run("anna", "--token")
    assert code == 2
    assert "There is no business “acme”" in err


@pytest.mark.usefixtures("acme")
def test_a_dry_run_writes_nothing() -> None:
    code, out, _err = run("crm", "--token", "--dry-run")
    assert (code, out) == (0, "Would create crm, manager of acme.\n")
    assert not User.objects.exists()
