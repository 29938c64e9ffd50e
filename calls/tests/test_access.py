"""calls/access.py: who may see which calls."""

import pytest
from django.contrib.auth.models import AnonymousUser, User
from pytest_django import DjangoAssertNumQueries

from calls.access import member_of, visible_to
from calls.models import CallLog
from calls.tests.factories import make_business, make_call, make_member

pytestmark = pytest.mark.django_db


def test_a_member_sees_the_calls_of_their_own_business_in_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    ours, theirs = make_business(), make_business()
    member, _ = make_member(ours), make_member(ours)
    make_member(theirs)
    calls = [make_call(ours), make_call(ours)]
    make_call(theirs)
    with django_assert_num_queries(1):
        assert list(visible_to(member.user, CallLog.objects.order_by("pk"))) == calls


def test_an_operator_and_nobody_see_no_calls_also_not_those_of_a_business_without_members() -> None:
    make_call(make_business())
    for user in (User.objects.create_superuser("operator"), AnonymousUser()):
        assert list(visible_to(user, CallLog.objects.all())) == []
        assert member_of(user) is None


def test_a_membership_comes_with_its_business(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    member = make_member(make_business("acme"))
    with django_assert_num_queries(1):
        found = member_of(member.user)
        assert found is not None
        assert found.business.slug == "acme"
