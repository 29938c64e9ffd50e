"""load_demo: two companies with calls to try things out on. What it loads once, it leaves alone afterwards."""

import io
import json
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.management.base import CommandParser
from django.db import transaction
from django.utils import timezone
from rest_framework.authtoken.models import Token

from calls.importing import CallFile
from calls.models import Business, Member
from demo.checks import is_loopback, reached_from_elsewhere
from demo.data import COMPANIES, OPERATOR, PASSWORD, PROGRAM, TOKEN, Company, lines
from recordings.importing import Import
from recordings.lifecycle import Ask
from recordings.management.command import EnvironmentUnfit, ReportingCommand, UsageError
from recordings.models import ProviderAccount, Recording


class Command(ReportingCommand):
    """Load the demo's businesses, people and calls, and point their accounts at the demo provider."""

    help = (
        "Load two demo businesses with their logins and calls, through the import and the queue as anybody's. "
        "A second time it keeps what is there, and only follows the demo provider to its new address."
    )

    requires_system_checks = ()  # one of them refuses the demo's logins elsewhere than here; `run` says it better

    def add_options(self, parser: CommandParser) -> None:
        """Where the demo provider is."""
        parser.add_argument("--provider-url", required=True, metavar="URL", help="E.g. http://127.0.0.1:8100")

    def run(self, **options: Any) -> None:
        """All or nothing: what was loaded in part would stay so."""
        url = options["provider_url"].rstrip("/")
        host = _host(url)
        if elsewhere := reached_from_elsewhere():
            raise EnvironmentUnfit(
                f"The demo's passwords are public, so it is for this machine only: {elsewhere} is refused. "
                f"Leave {elsewhere.partition('=')[0]} out."
            )
        slugs = [company.slug for company in COMPANIES]
        kept = set(Business.objects.filter(slug__in=slugs).values_list("slug", flat=True))
        new = [company for company in COMPANIES if company.slug not in kept]
        moved = ProviderAccount.objects.filter(business__slug__in=kept).exclude(base_url=url)
        calls = 0
        if not self.dry_run and (new or moved.exists()):
            with transaction.atomic():
                moved.update(base_url=url, hosts=host)  # the calls' addresses are paths there, and stay as they are
                calls = _load(new, url, host)
        if host not in settings.RECORDINGS_ALLOW_PRIVATE_HOSTS:
            self.warn(f"Downloads from {host} are refused until RECORDINGS_ALLOW_PRIVATE_HOSTS names it.")
        loaded = [company.slug for company in new]
        facts = {"loaded": loaded, "kept": sorted(kept), "calls": calls, "dry_run": self.dry_run}
        what = f"{', '.join(loaded)} ({calls} calls)" if loaded else "nothing new"
        if loaded or self.as_json or self.dry_run:
            self.report(facts, f"Demo data {'that would be loaded' if self.dry_run else 'loaded'}: {what}.")


def _host(url: str) -> str:
    """host:port of the provider. Raises UsageError unless that is on this machine."""
    try:
        parts = urlsplit(url)
        good = parts.scheme == "http" and is_loopback(parts.hostname or "") and bool(parts.port) and not parts.path
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"--provider-url {url} is not an address on this machine such as http://127.0.0.1:8100")
    return parts.netloc


def _load(companies: list[Company], url: str, host: str) -> int:
    """Load these companies; the answer is how many calls they have."""
    if not companies:
        return 0
    password = make_password(PASSWORD)  # once for all: it is slow on purpose
    _user(OPERATOR, password, is_staff=True, is_superuser=True)
    calls = 0
    for company in companies:
        business = Business.objects.create(slug=company.slug, name=company.name, timezone=company.timezone)
        ProviderAccount.objects.create(
            business=business, kind=company.provider, base_url=url, hosts=host,
            auth=ProviderAccount.Auth.BASIC, username=company.username, secret=company.secret,
        )  # fmt: skip
        for name, role in ((company.listener, Member.Role.LISTENER), (company.manager, Member.Role.MANAGER)):
            Member.objects.create(user=_user(name, password), business=business, role=role)
        calls += _load_calls(company, business)
        if company is COMPANIES[0]:
            program = _user(PROGRAM, make_password(None))
            Member.objects.create(user=program, business=business, role=Member.Role.LISTENER)
            Token.objects.get_or_create(user=program, defaults={"key": TOKEN})
    return calls


def _user(name: str, password: str, **flags: bool) -> User:
    user, _made = User.objects.get_or_create(username=name, defaults={"password": password, **flags})
    return user


def _load_calls(company: Company, business: Business) -> int:
    """Import the calls as a file would be, and ask for the recordings that are to be fetched at once."""
    calls = lines(company, timezone.now())
    fetch = [call["call_sid"] for call in calls if call.pop("fetch")]
    file = io.BytesIO("\n".join(json.dumps(call) for call in calls).encode())
    wrong: list[object] = []
    counts = Import(business, wrong.append).take_all(CallFile(file, business.zone))
    if wrong:
        raise ValueError(f"Demo data that can't be imported: {wrong}")
    Recording.objects.filter(business=business, call_sid__in=fetch).queue(Ask.PERSON)
    return counts.created
