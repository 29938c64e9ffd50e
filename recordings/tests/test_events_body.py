"""The body of a connection for events, by itself: what is told and what is not, its heartbeat, its end.

Time is the test's: whoever waits for n seconds finds that they have passed (test_events.py: of a living service).
"""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone, translation
from pytest_django import Settings

from calls.models import CallLog
from calls.tests.factories import NOON
from recordings.playback import events
from recordings.playback.events import HEARTBEAT, LONGEST, PROGRESS_EVERY, Events
from recordings.status import payload
from recordings.storage import default_storage
from recordings.tests.test_feed import Clock, Sight

ID, TOKEN = 7, "a" * 32
BEAT = b": still here\n\n"


class Passing(threading.Event):
    """Whoever waits for it waits no moment: the next of `meanwhile` has happened, and woken him, or time has passed."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.looked = clock, 0
        self.waited: list[float] = []
        self.meanwhile: list[Callable[[], object]] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.looked += 1
        assert self.looked < 10_000, "it turns on the spot"
        if not self.is_set():
            assert timeout, "it waits for ever, or turns on the spot"
            assert timeout > 0
            if self.meanwhile:
                self.meanwhile.pop(0)()
            if not self.is_set():
                self.clock.now += timeout
                self.waited.append(timeout)
        return self.is_set()


class Connection:
    """Events of one recording, and what they hold."""

    def __init__(self, clock: Clock, row: CallLog) -> None:
        self.sight = Sight(clock, row)
        self.let_go = 0
        self.body = Events({row.call_sid: row}, ["NOSUCH"], self._let_go, self.sight)
        self.time = self.body._changed = Passing(clock)

    def _let_go(self) -> None:
        self.let_go += 1

    def shows(self, row: CallLog | None) -> None:
        """The lookout has seen this."""
        self.sight.rows = {} if row is None else {row.pk: row}
        self.sight.look()

    def begun(self) -> "Connection":
        """Past its snapshot."""
        next(self.body)
        self.time.clear()  # its lookout has looked at once
        return self

    def is_watched(self) -> bool:
        return self.sight._watches == {self.body}


@pytest.fixture(autouse=True)
def storage(settings: Settings, tmp_path: Path) -> None:
    settings.RECORDINGS_ROOT, settings.RECORDINGS_MIN_FREE_BYTES = tmp_path / "recordings", 0
    default_storage().prepare()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(events, "time", clock)
    return clock


def row(status: str = "missing", **columns: Any) -> CallLog:
    facts = {"url": "https://voice.example.com/7.wav"} | columns
    named = {f"recording_{name}": value for name, value in facts.items()}
    return CallLog(pk=ID, call_sid="CA7", updated_at=NOON, recording_download_status=status, **named)


def arriving() -> CallLog:
    return row("downloading", token=TOKEN, bytes_total=1000, started_at=timezone.now())


def waiting_for(seconds: float) -> CallLog:
    return row("queued", last_enqueue_at=timezone.now() - timedelta(seconds=seconds))


def told(block: bytes) -> list[dict[str, Any]]:
    """The payloads of a block of `status` events, which it must be."""
    found = []
    for event in block.decode().removesuffix("\n\n").split("\n\n"):
        name, data = event.split("\n")
        assert name == "event: status"
        found.append(json.loads(data.removeprefix("data: ")))
    return found


# --- what is told


def test_the_snapshot_comes_first_and_from_then_on_it_is_watched(clock: Clock) -> None:
    connection = Connection(clock, row())
    assert not connection.is_watched()
    assert iter(connection.body) is connection.body
    retry, name, data, *end = next(connection.body).decode().replace("\n\n", "\n").split("\n")
    assert (retry, name, end) == ("retry: 1000", "event: snapshot", [""])
    assert json.loads(data.removeprefix("data: ")) == {"results": {"CA7": payload(row())}, "not_found": ["NOSUCH"]}
    assert connection.is_watched()
    assert connection.time.waited == []


def test_a_change_is_told_at_once_and_only_once(clock: Clock) -> None:
    connection = Connection(clock, row()).begun()
    connection.shows(row("failed", reason="gone", permanent=True))
    [change] = told(next(connection.body))
    assert (change["status"], change["reason"], connection.time.waited) == ("failed", "gone", [])
    connection.shows(row("failed", reason="gone", permanent=True))
    assert next(connection.body) == BEAT


def test_a_change_wakes_who_waits(clock: Clock) -> None:
    connection = Connection(clock, row()).begun()
    connection.time.meanwhile = [lambda: connection.shows(row("queued"))]
    [change] = told(next(connection.body))
    assert (change["status"], connection.time.waited) == ("queued", [])


def test_that_time_passes_is_no_change_and_is_told_with_the_next(clock: Clock) -> None:
    soon, later = waiting_for(10), waiting_for(40)
    assert payload(soon)["retry_after"] != payload(later)["retry_after"]
    connection = Connection(clock, soon).begun()
    connection.shows(later)
    assert next(connection.body) == BEAT
    now = waiting_for(40)
    now.recording_fail_count = 1
    connection.shows(now)
    [change] = told(next(connection.body))
    assert (change["fail_count"], change["retry_after"]) == (1, payload(later)["retry_after"])


def test_a_row_that_is_gone_stays_as_it_was(clock: Clock) -> None:
    connection = Connection(clock, row()).begun()
    connection.shows(None)
    assert next(connection.body) == BEAT
    connection.shows(row("queued"))
    assert [change["status"] for change in told(next(connection.body))] == ["queued"]


def test_the_progress_of_what_arrives_is_looked_at_though_no_row_tells_it(clock: Clock) -> None:
    connection = Connection(clock, arriving()).begun()
    begun_at = clock.now
    with default_storage().begin(ID, TOKEN) as part:
        connection.time.meanwhile = [lambda: None, lambda: part.write(bytes(300))]
        [change] = told(next(connection.body))
        assert (change["bytes_done"], change["bytes_total"]) == (300, 1000)
        assert clock.now - begun_at == 2 * PROGRESS_EVERY
        connection.time.meanwhile = [lambda: part.write(bytes(700))]
        assert [change["bytes_done"] for change in told(next(connection.body))] == [1000]
        assert clock.now - begun_at == 3 * PROGRESS_EVERY


def test_where_nothing_arrives_nobody_looks_for_progress(clock: Clock) -> None:
    connection = Connection(clock, row("queued")).begun()
    assert next(connection.body) == BEAT
    assert connection.time.waited == [HEARTBEAT]


def test_words_are_in_the_language_of_the_request(clock: Clock) -> None:
    with translation.override("he"):
        connection = Connection(clock, row())
        words = payload(row("queued"))["message"]
    assert words != payload(row("queued"))["message"]
    connection.begun().shows(row("queued"))
    assert [change["message"] for change in told(next(connection.body))] == [words]


# --- its heartbeat and its end


@pytest.mark.parametrize("what", [row, arriving])
def test_it_shows_that_it_lives_and_ends_for_the_browser_to_come_back(
    clock: Clock, what: Callable[[], CallLog]
) -> None:
    connection = Connection(clock, what()).begun()
    begun_at = clock.now
    assert next(connection.body) == BEAT
    assert clock.now - begun_at == HEARTBEAT
    assert {*islice(connection.body, 1000)} == {BEAT}
    assert clock.now - begun_at == LONGEST
    assert (connection.is_watched(), connection.let_go) == (False, 1)
    with pytest.raises(StopIteration):
        next(connection.body)
    assert connection.let_go == 1


def test_however_much_changes_it_ends(clock: Clock) -> None:
    connection = Connection(clock, row()).begun()
    for number in range(20):
        clock.now += LONGEST / 20
        connection.shows(row("failed", fail_count=number))
        if number < 19:
            assert told(next(connection.body))[0]["fail_count"] == number
    assert list(islice(connection.body, 10)) == []
    assert (connection.is_watched(), connection.let_go) == (False, 1)


def test_when_nobody_looks_any_more_it_ends(clock: Clock) -> None:
    connection = Connection(clock, row()).begun()
    connection.time.meanwhile = [connection.body.blind]
    assert list(islice(connection.body, 10)) == []
    assert connection.time.waited == []
    assert (connection.is_watched(), connection.let_go) == (False, 1)


def test_closing_lets_go_of_all_and_is_harmless_when_repeated(clock: Clock) -> None:
    connection = Connection(clock, row()).begun()
    connection.body.close()
    assert (connection.sight._watches, connection.let_go) == (set(), 1)
    connection.body.close()
    assert connection.let_go == 1
    assert list(islice(connection.body, 10)) == []
    assert connection.time.waited == []


def test_what_was_never_begun_lets_go_too(clock: Clock) -> None:
    connection = Connection(clock, row())
    connection.body.close()
    assert (connection.sight._watches, connection.let_go) == (set(), 1)


def test_who_waits_in_it_ends_when_it_is_closed(clock: Clock) -> None:
    connection = Connection(clock, row()).begun()
    connection.time.meanwhile = [connection.body.close]
    assert list(islice(connection.body, 10)) == []
    assert (connection.is_watched(), connection.let_go) == (False, 1)


def test_news_of_others_wakes_nobody(clock: Clock) -> None:
    connection = Connection(clock, row()).begun()
    connection.shows(row())
    assert not connection.time.is_set()
    connection.shows(row("queued"))
    assert connection.time.is_set()
