"""Feed and Flow by themselves: what is believed of a row and of a file, who is told what, and when it is over.

Time is the test's, and so is what happens while somebody waits. A living service, which looks again each second and
sweeps, would hide most of what is looked at here (test_live.py).
"""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as the_settings
from django.http import HttpResponseBase, StreamingHttpResponse
from django.test import RequestFactory
from pytest_django import DjangoAssertNumQueries, Settings

from calls.models import Business, CallLog, RecordingStatus
from calls.tests.factories import NOON
from recordings.api import live as answering
from recordings.attempts import Attempt, Outcome
from recordings.lifecycle import Answer
from recordings.playback import live, waiting
from recordings.playback.live import Broken, Feed, Feeds, Flow
from recordings.playback.lookout import STANDING, Lookout, Watch
from recordings.playback.waiting import LongAnswers
from recordings.problems import Problem
from recordings.storage import Part, default_storage
from recordings.tests.rows import DOWNLOADING, QUEUED, read, recording

ID, A, B = 7, "a" * 32, "b" * 32
TOTAL, TOLD_OF = 1_000_000, 65_536
BODY = random.Random(7).randbytes(TOTAL)
VERSION = 1_700_000_000
NAME = f"{VERSION:x}-{TOTAL:x}"

Write = Callable[..., Part]


class Clock:
    """Stands for the module `time`: time passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Sight(Lookout):
    """A lookout without a thread: all that it sees is `rows`, as they are when something is to be looked at."""

    def __init__(self, clock: Clock, *rows: CallLog) -> None:
        super().__init__()
        self.clock = clock
        self.rows = {row.pk: row for row in rows}

    def add(self, watch: Watch, *, read: bool = True) -> None:
        self._watches.add(watch)
        if read:
            self.look()

    def remove(self, watch: Watch) -> None:
        self._watches.discard(watch)

    def look(self) -> None:
        for watch in list(self._watches):
            watch.see(self.rows, self.clock.now)


class Meanwhile(threading.Condition):
    """While somebody waits on it, these happen, until one of them wakes him. Waiting on is the test's failure."""

    def __init__(self, *events: Callable[[], object]) -> None:
        super().__init__()
        self.events = list(events)
        self.told = False

    def wait(self, timeout: float | None = None) -> bool:
        self.told = False
        self.release()
        try:
            while not self.told:
                assert self.events, "it waits"
                self.events.pop(0)()
        finally:
            self.acquire()
        return True

    def notify_all(self) -> None:
        self.told = True


class Late(threading.Condition):
    """Whoever takes its lock finds that another had it first, and did this."""

    def __init__(self, first: Callable[[], object]) -> None:
        super().__init__()
        self.first: Callable[[], object] | None = first

    def __enter__(self) -> bool:
        first, self.first = self.first, None
        if first:
            first()
        return super().__enter__()


@pytest.fixture(autouse=True)
def storage(settings: Settings, tmp_path: Path) -> None:
    settings.RECORDINGS_ROOT, settings.RUN_DIR = tmp_path / "recordings", tmp_path / "run"
    settings.RECORDINGS_MIN_FREE_BYTES = 0
    default_storage().prepare()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(live, "time", clock)
    return clock


@pytest.fixture
def write() -> Iterator[Write]:
    """Begin a part and write so many bytes of BODY; its writer lives until it is closed, or the test ends."""
    with ExitStack() as stack:

        def begin(size: int, token: str = A, recording_id: int = ID) -> Part:
            part = stack.enter_context(default_storage().begin(recording_id, token))
            part.write(BODY[:size])
            return part

        yield begin


def grow(part: Part, more: int) -> None:
    part.write(BODY[part.size : part.size + more])


def row(status: str = DOWNLOADING, token: str | None = A, **columns: Any) -> CallLog:
    """The recording as it may be read from the database."""
    arrives: dict[str, Any] = {"version": VERSION, "bytes_total": TOTAL, "content_type": "audio/wav"}
    facts = {"url": "https://voice.example.com/7.wav", "token": token if status == DOWNLOADING else None} | arrives
    business = Business(pk=1, slug="acme", timezone="UTC")
    named = {f"recording_{name}": value for name, value in (facts | columns).items()}
    return CallLog(pk=ID, business=business, started_at=NOON, recording_download_status=status, **named)


def see(feed: Feed, seen: CallLog | None, since: float) -> None:
    feed.see({} if seen is None else {ID: seen}, since)


def heard(feed: Feed, *meanwhile: Callable[[], object]) -> Flow | None:
    """What comes of waiting, when this happens meanwhile."""
    feed._turned = Meanwhile(*meanwhile)
    return feed.wait(25)


def on_air(clock: Clock, feed: Feed | None = None) -> tuple[Feed, Flow]:
    """A feed that follows what A writes."""
    feed = feed or Feed(ID)
    see(feed, row(), clock.now)
    assert feed.flow is not None
    return feed, feed.flow


def next_block(flow: Flow, at: int, *meanwhile: Callable[[], object]) -> bytes:
    """What is read from there on, when this happens meanwhile."""
    flow._grew = Meanwhile(*meanwhile)
    return flow.read(at, TOTAL)


def told(flow: Flow) -> int:
    """How many bytes its listeners have been told of; they are the right ones."""
    block = next_block(flow, 0)
    assert block == BODY[: len(block)]
    return len(block)


# --- what is believed of the row


def test_a_row_that_was_read_before_somebody_asked_makes_nobody_give_up(clock: Clock, write: Write) -> None:
    write(1000)
    feed, before = Feed(ID), clock.now
    assert feed.may_ask()
    clock.now += 0.001
    feed.asked()
    see(feed, row("missing"), before)
    flow = heard(feed, lambda: see(feed, row("missing"), before), lambda: see(feed, row(), clock.now))
    assert flow is not None
    assert flow is feed.flow


def test_nor_does_one_that_was_read_before_and_is_taken_in_after(clock: Clock, write: Write) -> None:
    write(1000)
    feed, before = Feed(ID), clock.now
    clock.now += 0.001
    feed._turned = Late(feed.asked)
    see(feed, row("missing"), before)
    flow = heard(feed, lambda: see(feed, row(), clock.now))
    assert flow is not None
    assert flow is feed.flow


@pytest.mark.parametrize("status", ["failed", "missing"])
def test_nor_does_one_that_is_taken_in_after_break_off_what_is_heard(clock: Clock, write: Write, status: str) -> None:
    part = write(1000)
    feed, flow = on_air(clock)
    before = clock.now
    clock.now += 0.001
    feed._turned = Late(feed.asked)
    see(feed, row(status), before)
    assert (feed.flow, feed.is_over) == (flow, False)
    assert next_block(flow, 1000, lambda: grow(part, TOLD_OF), feed.tick) == BODY[1000 : part.size]


def test_nor_does_such_a_row_break_off_what_is_heard(clock: Clock, write: Write) -> None:
    part = write(1000)
    feed, flow = on_air(clock)
    before = clock.now
    clock.now += 0.001
    feed.asked()
    see(feed, row("failed"), before)
    see(feed, None, before)
    assert (feed.flow, feed.is_over) == (flow, False)
    assert next_block(flow, 1000, lambda: grow(part, TOLD_OF), feed.tick) == BODY[1000 : part.size]


@pytest.mark.parametrize("status", ["missing", "failed", "ready"])
def test_a_row_that_was_read_after_ends_the_wait(clock: Clock, status: str) -> None:
    feed = Feed(ID)
    assert feed.may_ask()
    feed.asked()
    see(feed, row(status), clock.now)
    assert heard(feed) is None
    assert not feed.is_over


def test_what_was_seen_before_says_nothing_while_somebody_asks_nor_after(clock: Clock, write: Write) -> None:
    write(1000)
    asking, asked = Feed(ID), Feed(ID)
    for feed in (asking, asked):
        see(feed, row("failed"), clock.now)
        assert heard(feed) is None
        assert feed.may_ask()
    assert heard(asking, asking.asked, lambda: see(asking, row(), clock.now)) is not None
    asked.asked()
    assert heard(asked, lambda: see(asked, row(), clock.now)) is not None


def test_a_row_that_is_gone_ends_the_wait_and_the_feed(clock: Clock) -> None:
    feed = Feed(ID)
    assert heard(feed, lambda: see(feed, None, clock.now)) is None
    assert feed.is_over


@pytest.mark.parametrize("told_of", [{"bytes_total": None}, {"content_type": "", "version": None}])
def test_what_cannot_be_heard_before_it_is_whole_is_not_waited_for(
    clock: Clock, write: Write, told_of: dict[str, Any]
) -> None:
    write(1000)
    feed = Feed(ID)
    see(feed, row(**told_of), clock.now)
    assert heard(feed) is None


def test_of_all_listeners_one_asks_and_the_next_a_second_later(clock: Clock) -> None:
    feed = Feed(ID)
    assert feed.may_ask()
    assert not feed.may_ask()
    clock.now += 5
    assert not feed.may_ask(), "the first is still at it"
    feed.asked()
    assert not feed.may_ask()
    clock.now += 0.75
    assert not feed.may_ask()
    clock.now += 0.25
    assert feed.may_ask()


# --- the end of a feed


@pytest.mark.parametrize("status", ["ready", "queued", "missing", "failed", "another attempt", "gone"])
def test_what_is_whole_is_heard_to_its_end_and_whoever_comes_later_is_told_how_it_stands(
    clock: Clock, write: Write, status: str
) -> None:
    moved_on = {"another attempt": row(token=B), "gone": None}.get(status, row(status))
    write(TOTAL)
    feed, flow = on_air(clock)
    see(feed, row(), clock.now)
    assert (feed.is_over, feed.flow) == (False, flow)
    see(feed, moved_on, clock.now)
    assert (feed.is_over, feed.flow) == (True, flow)
    assert told(flow) == TOTAL


def test_whoever_comes_when_a_feed_is_over_has_a_new_one_and_each_is_let_go_of(clock: Clock, write: Write) -> None:
    write(TOTAL)
    sight = Sight(clock, row())
    feeds = Feeds(sight)
    old = feeds.join(ID)
    assert feeds.join(ID) is old
    sight.look()
    sight.rows = {ID: row("ready")}
    sight.look()
    new = feeds.join(ID)
    assert new is not old
    feeds.leave(old)
    assert sight._watches == {old, new}, "one still hears it"
    feeds.leave(old)
    assert (feeds._feeds, sight._watches, old.flow) == ({ID: new}, {new}, None)
    feeds.leave(new)
    assert (feeds._feeds, sight._watches) == ({}, set())


@pytest.mark.parametrize("status", ["failed", "missing", "gone"])
def test_what_will_not_be_completed_breaks_off_after_what_is_here(clock: Clock, write: Write, status: str) -> None:
    write(1000)
    feed, flow = on_air(clock)
    see(feed, None if status == "gone" else row(status), clock.now)
    assert feed.flow is None
    assert told(flow) == 1000
    with pytest.raises(Broken):
        next_block(flow, 1000)


def test_another_attempt_with_the_same_bytes_is_heard_on_without_a_break(clock: Clock, write: Write) -> None:
    write(1000).close()
    feed, flow = on_air(clock)
    see(feed, row("queued"), clock.now)
    assert feed.flow is flow
    write(1000 + TOLD_OF, token=B)
    see(feed, row(token=B), clock.now)
    assert feed.flow is flow
    feed.tick()
    assert told(flow) == 1000 + TOLD_OF
    assert flow.token == B
    assert not feed.is_over


@pytest.mark.parametrize("other", [{"version": VERSION + 1}, {"bytes_total": TOTAL + 1}, {"content_type": "audio/ogg"}])
def test_another_content_breaks_off_and_needs_another_feed(clock: Clock, write: Write, other: dict[str, Any]) -> None:
    write(1000)
    feed, flow = on_air(clock)
    write(2000, token=B)
    see(feed, row(token=B, **other), clock.now)
    assert (feed.is_over, feed.flow) == (True, None)
    assert told(flow) == 1000
    with pytest.raises(Broken):
        next_block(flow, 1000)


def test_what_stands_still_longer_than_a_download_may_take_breaks_off_and_is_over(clock: Clock, write: Write) -> None:
    write(1000)
    feed, flow = on_air(clock)
    clock.now += the_settings.RECORDINGS_DEADLINE
    assert (feed.tick(), feed.is_over) == (live.TICK, False)
    clock.now += 0.25
    assert (feed.tick(), feed.is_over) == (live.TICK, True)
    assert told(flow) == 1000
    with pytest.raises(Broken):
        next_block(flow, 1000)


def test_a_byte_now_and_then_is_no_standing_still(clock: Clock, write: Write) -> None:
    part = write(1000)
    feed, flow = on_air(clock)
    for _ in range(3):
        clock.now += the_settings.RECORDINGS_DEADLINE
        grow(part, 1)
        feed.tick()
    assert not feed.is_over
    assert told(flow) == 1003


def test_when_nobody_looks_any_more_nobody_waits(clock: Clock, write: Write) -> None:
    write(1000)
    feed, flow = on_air(clock)
    other = Feed(ID)
    assert heard(other, other.blind) is None
    feed.blind()
    assert (feed.is_over, other.is_over) == (True, True)
    with pytest.raises(Broken):
        next_block(flow, 1000)


# --- who is told of new bytes


@pytest.mark.parametrize(("listeners", "times"), [(1, 1), (31, 1), (32, 2), (63, 2), (64, 3), (100, 4)])
def test_the_more_listen_the_more_bytes_they_are_told_of_at_once(
    clock: Clock, write: Write, listeners: int, times: int
) -> None:
    part = write(1000)
    feed, flow = on_air(clock)
    feed.listeners = listeners
    grow(part, times * TOLD_OF - 1)
    feed.tick()
    assert told(flow) == 1000
    grow(part, 1)
    feed.tick()
    assert told(flow) == 1000 + times * TOLD_OF


@pytest.mark.parametrize("listeners", [1, 1000])
def test_a_tenth_of_a_second_later_they_are_told_of_any(clock: Clock, write: Write, listeners: int) -> None:
    part = write(1000)
    feed, flow = on_air(clock)
    feed.listeners = listeners
    grow(part, 1)
    clock.now += 0.09
    feed.tick()
    assert told(flow) == 1000
    clock.now += 0.01
    feed.tick()
    assert told(flow) == 1001
    grow(part, 1)
    clock.now += 0.09
    feed.tick()
    assert told(flow) == 1001, "from telling to telling"


@pytest.mark.parametrize("listeners", [1, 1000])
def test_the_last_bytes_come_alone_and_at_once(clock: Clock, write: Write, listeners: int) -> None:
    part = write(TOTAL - TOLD_OF - 1000)
    feed, flow = on_air(clock)
    feed.listeners = listeners
    grow(part, 1000)
    feed.tick()
    assert told(flow) == TOTAL - TOLD_OF
    grow(part, TOLD_OF - 1)
    feed.tick()
    assert (told(flow), flow.is_complete) == (TOTAL - TOLD_OF, False)
    grow(part, 1)
    feed.tick()
    assert (told(flow), flow.is_complete) == (TOTAL, True)
    assert feed.tick() is None


def test_whoever_waits_for_bytes_is_woken_by_them(clock: Clock, write: Write) -> None:
    part = write(1000)
    feed, flow = on_air(clock)

    assert next_block(flow, 1000, feed.tick, lambda: grow(part, TOLD_OF), feed.tick) == BODY[1000 : part.size]
    flow._grew = Meanwhile()
    assert flow.read(1000, 100) == BODY[1000:1100], "no more than is asked for"
    with pytest.raises(Broken):
        next_block(flow, part.size, flow.break_off)


# --- a writer that died


def test_a_writer_is_dead_when_nothing_has_come_for_a_while_and_its_lock_is_free(clock: Clock, write: Write) -> None:
    part = write(1000)
    _, flow = on_air(clock)
    clock.now += 1
    assert not flow.writer_died(), "it holds the lock"
    part.close()
    assert flow.writer_died()
    flow.be_patient()
    clock.now += 0.25
    assert not flow.writer_died()
    clock.now += 0.25
    assert flow.writer_died()
    part.path.unlink()
    assert not flow.writer_died(), "it was given up"


def test_a_writer_that_has_just_ended_well_is_not_taken_for_dead(clock: Clock, write: Write) -> None:
    part = write(1000)
    _, flow = on_air(clock)
    grow(part, TOTAL)
    part.close()
    clock.now += 1
    assert not flow.is_complete, "nobody has looked since"
    assert not flow.writer_died()


def test_nor_is_one_that_ends_well_at_this_moment(clock: Clock, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    part = write(1000)
    _, flow = on_air(clock)
    try_lock = live._Growing.is_unlocked

    def ends_well(file: live._Growing) -> bool:
        grow(part, TOTAL)
        part.close()
        return try_lock(file)

    monkeypatch.setattr(live._Growing, "is_unlocked", ends_well)
    clock.now += 1
    assert not flow.writer_died()
    assert part.size == TOTAL


def tick(feed: Feed) -> None:
    """With what it leaves to threads of their own."""
    before = set(threading.enumerate())
    feed.tick()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.django_db(transaction=True)
def test_whoever_hears_a_dead_worker_queues_its_recording_again(clock: Clock, write: Write) -> None:
    arriving = recording(DOWNLOADING, token=A, version=VERSION, bytes_total=TOTAL, content_type="audio/wav")
    part = write(1000, recording_id=arriving.pk)
    feed = Feed(arriving.pk)
    feed.see({arriving.pk: arriving}, clock.now)
    clock.now += 1
    tick(feed)
    assert read(arriving).recording_download_status == DOWNLOADING, "its worker lives"
    part.close()
    tick(feed)
    released = read(arriving)
    assert (released.recording_download_status, released.recording_token) == (QUEUED, None)
    assert released.recording_crash_count == 1
    assert Attempt.objects.get().outcome == Outcome.CRASHED
    feed.see({arriving.pk: released}, clock.now)
    assert feed.flow is not None
    assert not feed.flow.writer_died(), "give it time"
    assert told(feed.flow) == 1000


# --- the answer to whoever wants to hear it


@pytest.fixture
def feeds(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Feeds:
    """Those of this process, with one place for a long answer; the recording arrives."""
    feeds, places = Feeds(Sight(clock, row())), LongAnswers(1)
    monkeypatch.setattr(answering, "feeds", feeds)
    for module in (answering, waiting):
        monkeypatch.setattr(module, "long_answers", lambda: places)
    return feeds


def play(wanted: str = "", **headers: str) -> HttpResponseBase:
    """Whatever comes of it, the recording was not here when it was asked for."""
    response = answering.play_live(RequestFactory().get("/", {"live": "1", "v": wanted}, headers=headers), row())
    assert isinstance(response, HttpResponseBase)
    return response


def assert_nothing_is_held(feeds: Feeds) -> None:
    assert feeds._feeds == {}
    assert feeds._where._watches == set()
    with waiting.long_answers().place(1) as taken:
        assert taken


@pytest.mark.parametrize("wanted", ["", NAME])
def test_what_arrives_is_the_answer_and_its_end_lets_go_of_all(feeds: Feeds, write: Write, wanted: str) -> None:
    write(TOTAL)
    response = play(wanted)
    assert isinstance(response, StreamingHttpResponse)
    assert (response.status_code, response["ETag"]) == (200, f'"{NAME}"')
    assert feeds._feeds[ID].listeners == 1
    assert response.getvalue() == BODY
    assert_nothing_is_held(feeds)
    response.close()
    assert_nothing_is_held(feeds)


@pytest.mark.parametrize("wanted", [f"{VERSION + 1:x}-{TOTAL:x}", f"{VERSION:x}-{TOTAL - 1:x}"])
def test_the_rest_of_another_content_than_the_one_that_arrives_is_412(feeds: Feeds, write: Write, wanted: str) -> None:
    write(1000)
    with pytest.raises(Problem) as problem:
        play(wanted, Range="bytes=1000-")
    assert (problem.value.status_code, problem.value.document["code"]) == (412, "version_changed")
    assert_nothing_is_held(feeds)


def test_an_answer_that_cannot_be_made_holds_nothing(
    feeds: Feeds, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> HttpResponseBase:
        raise ZeroDivisionError

    write(1000)
    monkeypatch.setattr(answering, "live_response", broken)
    with pytest.raises(ZeroDivisionError):
        play()
    assert_nothing_is_held(feeds)


def test_an_answer_without_a_body_holds_nothing(feeds: Feeds, write: Write) -> None:
    write(1000)
    assert play(If_None_Match=f'"{NAME}"').status_code == 304
    assert_nothing_is_held(feeds)
    with pytest.raises(Problem) as problem:
        play(Range=f"bytes={TOTAL}-")
    assert problem.value.status_code == 416
    assert_nothing_is_held(feeds)


# --- what is read for them


@pytest.mark.django_db
@pytest.mark.parametrize("status", RecordingStatus)
def test_those_who_wait_look_at_nothing_that_has_not_been_read(
    status: RecordingStatus, clock: Clock, write: Write, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    saved = recording(status)
    with django_assert_num_queries(1):
        rows = CallLog.objects.only(*STANDING).in_bulk([saved.pk])
        feed, waiter = Feed(saved.pk), waiting.Waiter(saved, 5)
        feed.see(rows, clock.now)
        waiter.see(rows, clock.now)
        feed._is_hopeless(waiter.until)


def test_who_waits_to_ask_holds_neither_a_turn_nor_a_connection(
    feeds: Feeds, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    ask = feeds.ask

    def asks(feed: Feed, row: CallLog) -> Answer | None:
        done.append("asks")
        return ask(feed, row)

    write(1000)
    monkeypatch.setattr(answering, "give_up_connection", lambda: done.append("gives up"))
    monkeypatch.setattr(feeds, "ask", asks)
    play().close()
    assert done == ["gives up", "asks", "gives up"]


def test_at_its_end_a_file_that_grows_is_looked_at_more_often_and_one_that_stands_still_is_not(
    clock: Clock, write: Write
) -> None:
    part = write(1000)
    feed, flow = on_air(clock)
    assert feed.tick() == live.TICK
    part.write(BODY[1000 : TOTAL - 100])
    clock.now += 1
    assert feed.tick() == live.LAST_TICKS
    clock.now += 1
    assert feed.tick() == live.TICK
    part.write(BODY[TOTAL - 100 :])
    feed.tick()
    assert flow.is_complete
    assert feed.tick() is None
