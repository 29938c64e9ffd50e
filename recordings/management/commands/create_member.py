"""create_member: a user with a place in one business; a person with a password, a program with a token, or both."""

import getpass
import sys
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.db import transaction
from rest_framework.authtoken.models import Token

from calls.models import Member
from recordings.management.command import ReportingCommand, UsageError, business_argument, business_named


class Command(ReportingCommand):
    """Create a user and its membership. A user that is there already is left as it is."""

    help = (
        "Create a user of one business. With --password-stdin a person can log in; with --token a program can use the "
        "REST API, and its token is the last line printed."
    )

    def add_options(self, parser: CommandParser) -> None:
        """USER, where, what it may do, and how it says who it is."""
        parser.add_argument("user", metavar="USER", help="The user name.")
        business_argument(parser)
        parser.add_argument("--role", required=True, choices=Member.Role.values)
        parser.add_argument(
            "--password-stdin",
            action="store_true",
            help="Ask for the password in a terminal, else read a line of standard input: 8 characters at least.",
        )
        parser.add_argument("--token", action="store_true", help="Make a token for the REST API, and print it last.")

    def run(self, **options: Any) -> None:
        """Check everything before anything is written."""
        business = business_named(options["business"])
        if not (options["password_stdin"] or options["token"]):
            raise UsageError("Say how it logs in: --password-stdin for a person, --token for a program, or both.")
        user = User(username=options["user"])
        _refuse_existing(user)
        password = _read_password() if options["password_stdin"] else None
        _check(user, password)
        user.set_password(password)  # None: no password does
        facts = {"user": user.username, "business": business.slug, "role": options["role"], "dry_run": self.dry_run}
        words = f"{user.username}, {options['role']} of {business.slug}"
        if self.dry_run:
            self.report(facts | {"created": False}, f"Would create {words}.")
            return
        with transaction.atomic():
            user.save()
            Member.objects.create(user=user, business=business, role=options["role"])
            token = Token.objects.create(user=user).key if options["token"] else None
        facts |= {"created": True} | ({"token": token} if token else {})
        self.report(facts, f"Created {words}." + (f"\n{token}" if token else ""))


def _refuse_existing(user: User) -> None:
    existing = User.objects.filter(username=user.username).first()
    if existing is None:
        return
    member = Member.objects.filter(user=existing).select_related("business").first()
    what = f", {member.role} of {member.business.slug}" if member else ""
    where = f"{settings.PUBLIC_URL}/admin/auth/user/{existing.pk}/change/"
    raise UsageError(f"There is a user “{user.username}” already{what}; nothing was changed. To change it: {where}")


def _read_password() -> str:
    if sys.stdin.isatty():
        return getpass.getpass()
    return sys.stdin.readline().rstrip("\r\n")


def _check(user: User, password: str | None) -> None:
    """Raise one UsageError with everything that is wrong."""
    wrong: list[str] = []
    try:
        user.clean_fields(exclude=["password"])
    except ValidationError as error:
        wrong += [f"USER: {message}" for messages in error.message_dict.values() for message in messages]
    try:
        if password is not None:
            validate_password(password, user)
    except ValidationError as error:
        wrong += [f"Password: {message}" for message in error.messages]
    if wrong:
        raise UsageError(" ".join(wrong))
