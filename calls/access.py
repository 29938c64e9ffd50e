"""Who may see which calls: a member sees those of their own business, and nobody else's exist for them."""

import logging
from typing import Any, TypeVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from calls.models import CallLog, Member

log = logging.getLogger(__name__)

Person = AbstractBaseUser | AnonymousUser
Rows = TypeVar("Rows", bound=QuerySet[CallLog])


def member_of(user: Person) -> Member | None:
    """The user's place in a business, with the business; None for an operator and for nobody."""
    if user.pk is None:
        return None
    return Member.objects.select_related("business").filter(user_id=user.pk).first()


def visible_to(user: Person, rows: Rows) -> Rows:
    """Those of `rows` that the user's business owns: authorises and reads in one query. For reads, never for an UPDATE.

    A user has at most one membership, so the join repeats no row.
    """
    if user.pk is None:  # `user=None` would find the businesses that have no members
        return rows.none()
    return rows.filter(business__members__user=user.pk)


def tell_failed_login(**_kwargs: Any) -> None:
    """Receiver of `user_login_failed`: a line for whoever watches for guesses. Not the name: it may be a password."""
    log.warning("A login failed", extra={"action": "login_failed"})
