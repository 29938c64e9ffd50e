"""create_business: a company, and the provider account that its recordings are fetched with."""

import os
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.db import transaction

from calls.models import Business
from recordings.account_rules import check_base_url, check_hosts, check_secret_env, names_its_own_host
from recordings.management.command import ReportingCommand, UsageError
from recordings.models import ProviderAccount

_ABOUT = {
    "slug": "SLUG", "name": "--name", "timezone": "--timezone", "kind": "--provider", "base_url": "--base-url",
    "hosts": "--hosts", "auth": "--auth", "username": "--username", "secret_env": "--secret-env",
}  # fmt: skip


class Command(ReportingCommand):
    """Create a business with its provider account. One that is there already is left as it is."""

    help = (
        "Create a business and the provider account that its recordings are fetched with. The secret is read from the "
        "environment variable that --secret-env names, each time it is needed; without one, set it in the admin."
    )

    def add_options(self, parser: CommandParser) -> None:
        """The business, then the account."""
        parser.add_argument("slug", metavar="SLUG", help="Its short name: letters, digits, _ and -.")
        parser.add_argument("--name", required=True, help="Its name, as people see it.")
        parser.add_argument("--timezone", default="UTC", help="Governs the dates on its pages, e.g. Asia/Jerusalem.")
        parser.add_argument("--provider", required=True, choices=ProviderAccount.Kind.values)
        parser.add_argument("--base-url", required=True, help="E.g. https://api.twilio.com. Credentials go only there.")
        parser.add_argument("--hosts", required=True, metavar="HOST[:PORT],…", help="Where recordings may come from.")
        parser.add_argument("--auth", choices=ProviderAccount.Auth.values, default=ProviderAccount.Auth.BASIC.value)
        parser.add_argument("--username", default="", help="For basic: with Twilio the account SID or an API key SID.")
        parser.add_argument("--secret-env", default="", metavar="NAME", help="The variable that holds the secret.")

    def run(self, **options: Any) -> None:
        """Check everything before anything is written."""
        slug = options["slug"]
        existing = Business.objects.filter(slug=slug).first()
        if existing is not None:
            words = f"There is a business “{slug}” already; nothing was changed. To change it: {_page(existing)}"
            raise UsageError(words)
        business = Business(slug=slug, name=options["name"].strip(), timezone=options["timezone"])
        account = ProviderAccount(
            kind=options["provider"],
            base_url=options["base_url"].strip(),
            hosts=options["hosts"].strip(),
            auth=options["auth"],
            username=options["username"].strip(),
            secret_env=options["secret_env"].strip(),
        )
        _check(business, account)
        if not self.dry_run:
            with transaction.atomic():
                business.save()
                account.business = business
                account.save()
        notes = _notes(business, account)
        for note in notes:
            self.warn(note)
        facts = {"business": slug, "created": not self.dry_run, "dry_run": self.dry_run, "notes": notes}
        self.report(facts, f"{'Would create' if self.dry_run else 'Created'} {slug}, with a {account.kind} account.")


def _check(business: Business, account: ProviderAccount) -> None:
    """Raise one UsageError with everything that is wrong."""
    wrong: list[str] = []
    # Not the account's own clean(): that asks for a secret, which may come later from the admin.
    every: tuple[Callable[[], None], ...] = (
        business.clean_fields,
        lambda: account.clean_fields(exclude=["business"]),
        lambda: check_base_url(account.base_url),
        lambda: check_hosts(account.hosts),
        lambda: check_secret_env(account.secret_env),
        lambda: _check_login(account),
    )
    for check in every:
        try:
            check()
        except ValidationError as error:
            by_field = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
            for name, messages in by_field.items():
                wrong += [f"{_ABOUT[name]}: {message}" if name in _ABOUT else message for message in messages]
    if wrong:
        raise UsageError(" ".join(wrong))


def _check_login(account: ProviderAccount) -> None:
    if account.auth == ProviderAccount.Auth.BASIC and not account.username:
        raise ValidationError("Basic authentication needs --username. For a provider that asks for none: --auth none.")
    if account.secret_env and account.auth == ProviderAccount.Auth.NONE:
        raise ValidationError("--secret-env goes with --auth basic or bearer.")


def _page(business: Business) -> str:
    """Where the admin shows it; the list while it is not saved."""
    page = f"{business.pk}/change/" if business.pk else ""
    return f"{settings.PUBLIC_URL}/admin/calls/business/{page}"


def _notes(business: Business, account: ProviderAccount) -> list[str]:
    """What works, but not yet or not for long."""
    notes = []
    if not names_its_own_host(account.base_url, account.hosts):
        notes.append("The base address's own host is not among --hosts, so nothing can be fetched from it.")
    if account.auth == ProviderAccount.Auth.NONE:
        return notes
    if not account.secret_env:
        notes.append(f"No --secret-env: set the secret at {_page(business)}")
    elif not os.environ.get(account.secret_env):
        notes.append(f"{account.secret_env} is not set here; it must be where the service runs.")
    return notes
