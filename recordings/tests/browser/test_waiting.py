"""waiting.js in a real browser, its clock wound forward: when it looks, how often, what it makes of answers."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from recordings.tests.browser.house import House, Visit, visit

pytestmark = pytest.mark.once

PENDING = {"status": "queued", "playable": False, "permanent": False, "next_retry_at": None, "retry_after": None}

START = """async ([sids, first, answers]) => {
  const { Waiting } = await import("/static/recordings/waiting.js");
  const began = performance.now();
  const seen = (window.seen = { looks: [], asks: [], told: [], refused: [] });
  const answer = (sid) => (answers[sid].length > 1 ? answers[sid].shift() : answers[sid][0]);
  const waiting = new Waiting({
    statuses: async (sids) => {
      seen.looks.push([(performance.now() - began) / 1000, sids]);
      return Object.fromEntries(sids.map((sid) => [sid, answer(sid)]));
    },
    ask: async (sid) => { seen.asks.push(sid); return first; },
    tell: (sid, payload, verdict) => seen.told.push([sid, payload.status, verdict]),
    refuse: (sid, refusal) => seen.refused.push([sid, refusal.kind]),
  });
  waiting.keep(sids, first);
}"""


@pytest.fixture(scope="module")
def visited(browser: Browser, house: House) -> Iterator[Visit]:
    with visit(browser, house) as here:
        here.page.clock.install()
        yield here


@pytest.fixture
def page(visited: Visit) -> Page:
    """A page that has just been loaded, whose clock stands still."""
    visited.open("/login/")
    assert visited.faults == []
    return visited.page


def waited(page: Page, answers: dict[str, list[Any]], first: dict[str, Any] = PENDING, seconds: int = 70) -> Any:
    """Wait for the recordings of `answers`; what was seen in that many seconds of the page's clock."""
    page.evaluate(START, [list(answers), first, answers])
    page.clock.run_for(seconds * 1000)
    return page.evaluate("window.seen")


def times(seen: Any) -> list[float]:
    return [round(time, 2) for time, _ in seen["looks"]]


def test_it_looks_ten_times_ever_less_often_and_then_gives_up(page: Page) -> None:
    seen = waited(page, {"a": [PENDING]})
    assert times(seen) == pytest.approx([2, 5, 9.5, 16.25, 24.25, 32.25, 40.25, 48.25, 56.25, 64.25], abs=0.3)
    assert [verdict for _, _, verdict in seen["told"]] == ["wait"] * 9 + ["give up"]
    assert seen["asks"] == []


def test_the_servers_own_time_goes_first(page: Page) -> None:
    seen = waited(page, {"a": [PENDING | {"retry_after": 20}, PENDING | {"status": "ready", "playable": True}]},
                  PENDING | {"retry_after": 7})  # fmt: skip
    assert times(seen) == pytest.approx([7, 27], abs=0.3)
    assert seen["told"][-1] == ["a", "ready", "done"]


def test_a_recording_that_is_missing_again_is_asked_for_again(page: Page) -> None:
    seen = waited(page, {"a": [PENDING | {"status": "missing"}, PENDING | {"status": "ready", "playable": True}]})
    assert seen["asks"] == ["a"]
    assert [verdict for _, _, verdict in seen["told"]] == ["wait", "done"]


def test_one_that_stays_missing_is_not_asked_for_without_end(page: Page) -> None:
    seen = waited(page, {"a": [PENDING | {"status": "missing"}]}, PENDING | {"status": "missing"})
    assert len(seen["looks"]) == 10
    assert len(seen["asks"]) < 10
    assert seen["told"][-1] == ["a", "missing", "give up"]


def test_a_failure_that_stays_ends_the_waiting(page: Page) -> None:
    seen = waited(page, {"a": [PENDING | {"status": "failed", "permanent": True}]})
    assert seen["told"] == [["a", "failed", "stop"]]
    assert len(seen["looks"]) == 1


def test_a_failure_that_will_be_retried_is_waited_for(page: Page) -> None:
    coming_back = PENDING | {"status": "failed", "next_retry_at": "2026-11-23T10:00:00Z", "retry_after": 5}
    seen = waited(page, {"a": [coming_back, PENDING | {"status": "ready", "playable": True}]})
    assert [verdict for _, _, verdict in seen["told"]] == ["wait", "done"]


def test_all_are_looked_at_together(page: Page) -> None:
    seen = waited(page, {"a": [PENDING], "b": [PENDING]})
    assert len(seen["looks"]) == 10
    assert {tuple(sids) for _, sids in seen["looks"]} == {("a", "b")}


def test_one_that_is_pressed_while_another_is_looked_at_has_a_look_of_its_own(page: Page) -> None:
    page.evaluate(
        """async (pending) => {
      const { Waiting } = await import("/static/recordings/waiting.js");
      const seen = (window.seen = { looks: [], refused: [] });
      const waiting = new Waiting({
        statuses: async (sids) => {
          seen.looks.push(sids);
          if (seen.looks.length === 1) waiting.keep(["a", "b"], pending);
          return Object.fromEntries(sids.map((sid) => [sid, pending]));
        },
        tell: () => {},
        refuse: (sid) => seen.refused.push(sid),
      });
      waiting.keep(["a"], pending);
    }""",
        PENDING,
    )
    page.clock.run_for(5_000)
    assert page.evaluate("window.seen") == {"looks": [["a"], ["a", "b"], ["a", "b"]], "refused": []}


def test_a_server_that_stays_away_is_looked_for_ten_times(page: Page) -> None:
    page.evaluate(
        """async (pending) => {
      const { Waiting } = await import("/static/recordings/waiting.js");
      const seen = (window.seen = { looks: 0, refused: [] });
      const waiting = new Waiting({
        statuses: async () => { seen.looks += 1; throw { kind: "unreachable" }; },
        refuse: (sid, refusal) => seen.refused.push([sid, refusal.kind]),
      });
      waiting.keep(["a"], pending);
    }""",
        PENDING,
    )
    page.clock.run_for(70_000)
    assert page.evaluate("window.seen") == {"looks": 10, "refused": [["a", "unreachable"]]}


def test_one_that_does_not_exist_any_more_ends_the_waiting(page: Page) -> None:
    seen = waited(page, {"a": [None]})
    assert seen["refused"] == [["a", "not_found"]]
    assert len(seen["looks"]) == 1
