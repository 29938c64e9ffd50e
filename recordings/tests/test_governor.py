"""Who goes next: caps, turns between businesses, room for clicks, and how an account in trouble is spared."""

import threading
from collections import Counter
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from calls.clock import now
from calls.models import PRIORITY_BULK, PRIORITY_CLICK, Business, CallLog
from recordings import governor
from recordings.accounts import GROWS_EVERY, LONGEST_REST, SLOWEST
from recordings.download.marks import IN_A_ROW, Marks
from recordings.governor import share_out
from recordings.models import ProviderAccount, Recording
from recordings.reasons import Reason
from recordings.results import Failed
from recordings.tests import rows
from recordings.tests.races import race
from recordings.tests.rows import QUEUED, business, recording

numbers = st.dictionaries(st.integers(1, 9), st.integers(0, 12), max_size=9)


def queue(count: int, owner: Business, priority: int = PRIORITY_BULK) -> None:
    for _ in range(count):
        recording(QUEUED, owner, priority=priority)


def claimed(limit: int, **options: Any) -> Counter[str]:
    """How many a claim takes of each business."""
    found = Recording.objects.start(limit, worker="w", **options)
    slugs = dict(Business.objects.values_list("pk", "slug"))
    return Counter(slugs[row.business_id] for row in found)


def read(slug: str = "acme") -> ProviderAccount:
    """The account as a claim reads it."""
    return ProviderAccount.objects.with_refusal().get(business__slug=slug)


# --- turns ----------------------------------------------------------------------------------------------------------


@given(limit=st.integers(0, 40), room=numbers, under_way=numbers)
def test_every_place_goes_to_who_has_room_and_the_fewest_under_way(
    limit: int, room: dict[int, int], under_way: dict[int, int]
) -> None:
    shares = share_out(limit, room, under_way)
    assert sum(shares.values()) == min(limit, sum(room.values()))
    assert all(0 < share <= room[one] for one, share in shares.items())
    after = {one: under_way.get(one, 0) + shares.get(one, 0) for one in room}
    for got in shares:
        for other in room:
            could_take_more = shares.get(other, 0) < room[other]
            assert after[got] - 1 <= after[other] or not could_take_more, "a place that belonged to another"


def test_between_equals_the_lot_decides_so_that_nobody_starves() -> None:
    first = {next(iter(share_out(1, dict.fromkeys(range(5), 1), {}))) for _ in range(200)}
    assert first == set(range(5))


@pytest.mark.django_db
def test_businesses_take_turns_however_much_one_of_them_queues() -> None:
    queue(50, business("huge"))
    queue(3, business("small"))
    assert claimed(8) == {"huge": 5, "small": 3}
    queue(3, business("late"))
    assert claimed(4) == {"late": 3, "huge": 1}


@pytest.mark.django_db
def test_what_one_line_leaves_goes_to_the_others_in_their_order() -> None:
    queue(20, business("huge"))
    queue(1, business("small"))
    found = [row.pk for row in Recording.objects.start(12, worker="w")]
    assert len(set(found)) == 12
    huge = list(CallLog.objects.filter(business__slug="huge").order_by("pk").values_list("pk", flat=True))
    assert set(found) & set(huge) == set(huge[:11])


@pytest.mark.django_db
def test_a_click_goes_before_every_background_download_of_every_business() -> None:
    queue(30, business("huge"))
    queue(2, business("small"), PRIORITY_CLICK)
    assert claimed(3) == {"small": 2, "huge": 1}


# --- caps -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_account_has_no_more_at_once_than_its_cap_and_keeps_a_quarter_for_clicks() -> None:
    queue(30, business("acme"))
    ProviderAccount.objects.update(most_at_once=8)
    assert claimed(20) == {"acme": 6}
    assert claimed(20) == {}
    queue(5, business("acme"), PRIORITY_CLICK)
    assert claimed(20) == {"acme": 2}
    assert not Recording.objects.may_start()
    done = CallLog.objects.filter(recording_download_status="downloading", recording_priority=PRIORITY_CLICK).first()
    assert done is not None
    Recording.objects.give_back([rows.held(done)])
    assert claimed(20) == {"acme": 1}


@pytest.mark.django_db
def test_a_cap_of_one_lets_the_background_go_on() -> None:
    queue(2, business("acme"))
    ProviderAccount.objects.update(most_at_once=1)
    assert claimed(5) == {"acme": 1}


@pytest.mark.django_db
def test_without_a_cap_of_its_own_the_setting_holds(settings: Any) -> None:
    settings.RECORDINGS_AT_ONCE = 4
    queue(9, business("acme"), PRIORITY_CLICK)
    assert claimed(9) == {"acme": 4}


@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_together_do_not_exceed_the_cap() -> None:
    queue(60, business("acme"), PRIORITY_CLICK)
    ProviderAccount.objects.update(most_at_once=10)
    found = race(*[lambda: Recording.objects.start(7, worker="w", more=True)] * 6)
    assert sum(len(one) for one in found) == 10


@pytest.mark.django_db
def test_what_may_not_be_begun_is_neither_rung_for_nor_locked_for() -> None:
    queue(3, business("acme"))
    ProviderAccount.objects.update(most_at_once=1)
    claimed(1)
    CallLog.objects.filter(recording_download_status=QUEUED).update(recording_last_enqueue_at=now(-60))
    before = rows.bells()
    assert not Recording.objects.ring_again()
    assert rows.bells() == before
    with CaptureQueriesContext(connection) as queries:
        assert claimed(5) == {}
    assert not any(query["sql"].startswith(("BEGIN", "SAVEPOINT")) for query in queries.captured_queries)


@pytest.mark.django_db
@pytest.mark.parametrize("waiting", [1, 300])
def test_a_claim_costs_the_same_however_many_wait(waiting: int) -> None:
    queue(waiting, business("acme"))
    with CaptureQueriesContext(connection) as queries:
        assert claimed(1) == {"acme": 1}
    asked = [
        query["sql"] for query in queries.captured_queries if not query["sql"].startswith(("BEGIN", "SAVE", "REL"))
    ]
    most = 14 if connection.vendor == "postgresql" else 12  # the lock of all claims, and how long to wait for it
    assert len(asked) <= most, asked


@pytest.mark.django_db
def test_who_waits_and_who_is_next_are_read_from_the_index_alone() -> None:
    for number in range(30):
        queue(20, business(f"b{number % 3}"))
    with CaptureQueriesContext(connection) as queries:
        claimed(4)
    # PostgreSQL plans by statistics, and takes another index for a business of a few rows.
    starts = {"WITH"} if connection.vendor == "postgresql" else {"WITH", "SELE"}
    reads = [q["sql"] for q in queries.captured_queries if "'queued'" in q["sql"] and q["sql"].lstrip()[:4] in starts]
    assert len(reads) >= len(starts)
    for sql in reads:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET LOCAL enable_seqscan = off")  # a small table is read through otherwise
            cursor.execute(("EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN ") + sql)
            plan = "\n".join(str(row) for row in cursor.fetchall())
        assert "recording_line" in plan, plan
        assert "SCAN call_log" not in plan, plan
        assert "Seq Scan on call_log" not in plan, plan


# --- trouble --------------------------------------------------------------------------------------------------------


def trouble(marks: Marks, reason: Reason = Reason.UNREACHABLE, times: int = IN_A_ROW) -> ProviderAccount:
    """So many failures in a row of attempts that were claimed now."""
    account = read()
    for _ in range(times):
        marks.failed(account, Failed((1, "0" * 32), reason, permanent=False))
    return read()


@pytest.mark.django_db
def test_a_few_failures_among_successes_slow_nothing_down() -> None:
    business()
    marks = Marks()
    for _ in range(5):
        assert trouble(marks, times=IN_A_ROW - 1).at_once() == read().cap
        marks.succeeded(read())


@pytest.mark.django_db
def test_failures_in_a_row_halve_what_is_asked_at_once_and_one_generation_counts_once() -> None:
    business()
    assert trouble(Marks()).at_once() == 32
    marks, account = Marks(), read()
    for _ in range(5 * IN_A_ROW):
        marks.failed(account, Failed((1, "0" * 32), Reason.STALLED, permanent=False))
    assert read().at_once() == 16
    slowed_at = read().slowed_at
    assert ProviderAccount.objects.slow_down(account) == 0
    assert read().slowed_at == slowed_at, "it was read before the last one"


@pytest.mark.django_db
def test_a_success_of_before_does_not_forget_a_later_trouble() -> None:
    business()
    trouble(Marks())
    rows.pass_time(1000)
    before = read()
    assert before.at_once() == before.cap
    trouble(Marks())
    Marks().succeeded(before)
    assert read().slowed_at is not None


@pytest.mark.django_db
def test_a_429_slows_down_at_once_and_one_recordings_own_failure_never() -> None:
    business()
    assert trouble(Marks(), Reason.NOT_AUDIO, times=20).slowed_at is None
    assert trouble(Marks(), Reason.RATE_LIMITED, times=1).at_once() == 32


@pytest.mark.django_db
def test_a_slowed_account_grows_back_by_itself_and_a_success_then_forgets_it() -> None:
    business()
    marks = Marks()
    trouble(marks)
    rows.pass_time(10 * GROWS_EVERY)
    assert read().at_once() == 42
    marks.succeeded(read())
    assert read().slowed_at is not None
    rows.pass_time(100 * GROWS_EVERY)
    assert read().at_once() == read().cap
    marks.succeeded(read())
    assert read().slowed_at is None


@pytest.mark.django_db
def test_an_outage_after_one_that_nothing_ended_is_told_and_counted_as_the_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    business()
    for _ in range(2):
        trouble(Marks())
        rows.pass_time(100 * GROWS_EVERY)  # grown back, and nothing was downloaded since
        assert (read().slowed_at is None, read().is_well()) == (False, True)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["Provider is in trouble; this business is asked for less at once"] * 2
    marks = Marks()
    trouble(marks, times=IN_A_ROW - 1)
    assert read().is_well(), "no more easily than the first time"


@pytest.mark.django_db
def test_an_account_that_rested_and_is_well_again_is_slowed_to_half_not_to_the_slowest() -> None:
    business()
    for _ in range(8):
        trouble(Marks())
    assert read().rests > 0
    rows.pass_time(1000)
    trouble(Marks())
    assert (read().slowed_to, read().rests) == (32, 0)


@pytest.mark.django_db
@pytest.mark.parametrize("takes", [0, 10, 30])
def test_an_outage_makes_the_background_rest_longer_and_longer_however_long_a_failure_takes(takes: int) -> None:
    business()
    marks, rests = Marks(), []
    for _ in range(12):
        rows.pass_time(takes)
        account = trouble(marks)
        if account.rests_until and account.is_resting():
            assert account.at_once() == SLOWEST
            rests.append(round((account.rests_until - account.moment).total_seconds()))
            rows.pass_time(rests[-1])
            assert read().at_once() == SLOWEST, "it does not grow while it rests"
    assert rests == [2, 4, 8, 16, 32, *[LONGEST_REST] * (len(rests) - 5)]
    assert len(rests) > 5


@pytest.mark.django_db
def test_a_rest_of_the_background_is_no_rest_for_clicks_and_a_success_ends_it() -> None:
    owner, marks = business(), Marks()
    queue(2, owner)
    while not read().is_resting():
        trouble(marks)
    assert not Recording.objects.may_start()
    assert ProviderAccount.objects.in_trouble() == [read()]
    queue(1, owner, PRIORITY_CLICK)
    assert claimed(5) == {"acme": 1}
    rows.pass_time(LONGEST_REST)
    assert claimed(5) == {"acme": 2}
    marks.succeeded(read())
    assert (read().rests, read().rests_until) == (0, None)


@pytest.mark.django_db
def test_the_count_of_rests_has_an_end() -> None:
    business()
    for _ in range(300):
        ProviderAccount.objects.slow_down(read())
    assert read().rests < 20
    assert read().is_resting()


@pytest.mark.django_db
def test_a_click_does_not_wait_for_what_was_begun_in_the_background_before_a_slow_down() -> None:
    owner = business()
    queue(48, owner)
    assert claimed(48) == {"acme": 48}
    trouble(Marks(), Reason.RATE_LIMITED, times=1)
    queue(20, owner, PRIORITY_CLICK)
    assert claimed(20) == {"acme": 8}, "a quarter of 32"
    ProviderAccount.objects.update(most_at_once=50)
    assert claimed(20) == {}, "never above the cap"


@pytest.mark.django_db(transaction=True)
def test_a_claim_does_not_wait_for_one_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer, and a killed or stopped one is its own story (docs/proof.md)")
    monkeypatch.setattr(governor, "CLAIM_PATIENCE", 0.2)
    queue(1, business())
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            governor.one_claim_at_a_time()
            held.set()
            assert done.wait(30)

    def claim() -> int:
        assert held.wait(30)
        try:
            return len(Recording.objects.start(1, worker="w", more=True))
        finally:
            done.set()

    assert race(hold, claim) == [None, 0]
    assert claimed(1) == {"acme": 1}


@pytest.mark.django_db
def test_a_rest_or_a_slow_down_from_a_clock_that_was_wrong_holds_nothing_up() -> None:
    queue(9, business("acme"))
    ProviderAccount.objects.update(rests_until=now(3600), slowed_to=1, slowed_at=now(3600))
    assert claimed(9) == {"acme": 9}


@pytest.mark.django_db
def test_operators_hear_once_of_trouble_and_once_that_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    business()
    marks = Marks()
    for _ in range(6):
        trouble(marks)
    rows.pass_time(1000)
    marks.succeeded(read())
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "Provider is in trouble; this business is asked for less at once"),
        ("INFO", "Provider answers well again; this business is asked as before"),
    ]
