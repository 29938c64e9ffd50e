"""The player in a real browser: seeking, keys, speakers, the next call, two tabs, links to a moment."""

import os
import signal
from itertools import pairwise

import pytest
from playwright.sync_api import Page

from demo.service import wait_until
from recordings.pages import PAGE_SIZE
from recordings.tests.browser.conftest import Visiting
from recordings.tests.browser.house import House, Visit

pytestmark = pytest.mark.once


def click_at(here: Visit, part: float) -> None:
    """Click the waveform at this part of its width."""
    box = here.player.get_by_role("slider").bounding_box()
    assert box is not None
    here.page.mouse.click(box["x"] + part * box["width"], box["y"] + box["height"] / 2)


def goes_to(here: Visit, seconds: float, near: float = 3) -> None:
    """Wait until the player stands about there."""
    wait_until(lambda: abs(here.position() - seconds) < near, what=f"{seconds} s, and not {here.position()}")


def rate(page: Page) -> float:
    return float(page.evaluate("document.querySelector('audio').playbackRate"))


def test_a_long_stereo_call_is_reviewed_by_mouse_and_keys(house: House, visiting: Visiting) -> None:
    sid = house.call("review", "long-cbr-review")
    with visiting() as here:
        here.log_in(path="/?agent=review")
        here.play(sid)
        here.hears(sid)
        slider, speaker = (
            here.player.get_by_role("slider"),
            here.player.get_by_role("button", name="Mute speaker 1 (left)"),
        )
        speaker.wait_for()  # with the waveform, once it is whole
        assert sum(path.endswith("/peaks") for _, path in here.asked) == 1

        click_at(here, 0.5)
        goes_to(here, 300)
        wait_until(lambda: (slider.get_attribute("aria-valuetext") or "").startswith("5:0"))
        assert (slider.get_attribute("aria-valuetext") or "").endswith(" of 10:00")
        for key, seconds in (
            ("ArrowRight", 305),
            ("Shift+ArrowRight", 320),
            ("l", 335),
            ("j", 320),
            ("ArrowLeft", 315),
        ):
            here.page.keyboard.press(key)
            goes_to(here, seconds)
        here.press("15 seconds back")
        here.press("15 seconds forward")
        goes_to(here, 315)
        here.page.keyboard.press("Home")  # the slider's own; it has the focus since the click
        here.press("Pause")
        here.page.locator(f"#call-{sid}[data-activity=paused]").wait_for()

        speaker.click()
        assert speaker.get_attribute("aria-pressed") == "true"
        here.press("Play")
        here.hears(sid)
        speaker.click()
        assert speaker.get_attribute("aria-pressed") == "false"

        here.player.get_by_label("Speed").select_option("1.5")
        assert rate(here.page) == 1.5
        click_at(here, 0.25)
        goes_to(here, 150)
        here.page.reload()  # and all is as it was left, but for the sound
        assert here.player.get_by_label("Speed").input_value() == "1.5"
        assert 145 < float(slider.input_value()) < 160
        here.press("Play")
        here.hears(sid)
        goes_to(here, 152, near=6)
        assert rate(here.page) == 1.5
        with here.page.expect_download() as saved:
            here.player.get_by_label("Download the recording").click()
        assert saved.value.suggested_filename.endswith("_+97231234567.mp3")


def test_keys_lead_from_call_to_call_and_the_next_one_is_fetched_ahead(house: House, visiting: Visiting) -> None:
    first, silent, second = house.call("queue", "call-cbr-q1"), house.call("queue"), house.call("queue", "call-cbr-q2")
    third = house.call("queue", "call-cbr-q3")
    with visiting() as here:
        here.log_in(path="/?agent=queue")
        here.page.get_by_label("Search").press("n")
        here.page.get_by_label("Search").fill("")
        here.page.locator("h1").click()
        assert here.asked == []
        here.page.keyboard.press("n")
        here.hears(first)
        wait_until(lambda: house.status(second) == "ready", what="the next recording is here")
        assert here.row(silent).get_by_role("button").count() == 0
        here.page.keyboard.press("n")
        here.hears(second)
        assert ("POST", f"/api/recordings/{second}/download") in here.asked
        here.page.keyboard.press("p")
        here.hears(first)
        here.press("Next call")
        here.hears(second)
        here.press("Auto-next")
        click_at(here, 0.95)
        here.hears(third)
        here.page.keyboard.press("n")
        here.player.get_by_text("There is no further call here.").wait_for()
        here.page.keyboard.press("?")
        keys = here.page.get_by_role("dialog", name="Keys")
        keys.get_by_role("button", name="Single letters are keys").click()
        here.page.keyboard.press("Escape")
        keys.wait_for(state="hidden")
        here.page.keyboard.press("p")
        here.page.keyboard.press("Space")
        here.page.locator(f"#call-{third}[data-activity=paused]").wait_for()


def test_one_player_plays_at_a_time_also_in_two_tabs(house: House, visiting: Visiting) -> None:
    first, second = house.call("tabs", "call-cbr-t1"), house.call("tabs", "call-cbr-t2")
    with visiting() as here:
        here.log_in(path="/?agent=tabs")
        here.play(first)
        here.hears(first)
        there = Visit(here.page.context.new_page(), house)
        there.open("/?agent=tabs")
        there.play(second)
        there.hears(second)
        here.page.locator(f"#call-{first}[data-activity=paused]").wait_for()
        there.page.close()


def test_a_link_to_a_moment_is_copied_and_opens_there_through_the_login(house: House, visiting: Visiting) -> None:
    sid = house.call("moment", "long-cbr-moment")
    house.service.sql("UPDATE call_log SET duration = 600 WHERE call_sid = %s", sid)
    with visiting(permissions=["clipboard-read", "clipboard-write"]) as here:
        here.pass_the_login(path=f"/calls/{sid}?t=192")
        assert here.player.get_by_text("3:12").is_visible()
        assert here.player.get_by_text("10:00").is_visible()
        assert here.asked == []
        here.page.keyboard.press("Space")
        here.hears(sid)
        goes_to(here, 193)
        here.page.keyboard.press("Space")
        here.page.locator(f"#call-{sid}[data-activity=paused][data-status=ready]").wait_for()  # all has been said
        here.press("Copy link at this moment")
        here.player.get_by_text("has been copied").wait_for()
        copied = here.page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith(f"{house.service.url}/calls/{sid}?t=19")


@pytest.mark.parametrize("status", ["missing", "ready"])
def test_a_sound_that_the_browser_refuses_waits_for_one_press(house: House, visiting: Visiting, status: str) -> None:
    sid = house.call(f"refused-{status}", f"hello-cbr-refused-{status}")
    with visiting() as here:
        here.log_in(path=f"/calls/{sid}")
        if status == "ready":
            here.play(sid)
            here.page.locator(f"#call-{sid}[data-status=ready]").wait_for()
        cookies = here.page.context.storage_state()
    with visiting(storage_state=cookies) as here:
        # Pressed by a script before any gesture; only then, as looking at a page is one to Playwright.
        here.page.add_init_script("addEventListener('load', () => document.querySelector('[data-play]').click())")
        here.open(f"/calls/{sid}?t=1")
        here.page.locator(f"#call-{sid}[data-activity=paused]").wait_for()
        here.page.wait_for_timeout(3000)  # longer than it waits for news, or before it looks
        assert here.label(sid) == "Paused"
        assert here.row(sid).get_attribute("aria-busy") == "false"
        assert here.row(sid).get_by_role("button", name="Play").is_enabled()
        assert here.page.get_by_role("button", name="Try again").count() == 0
        assert [path for _, path in here.asked] == ["/api/recordings/events"] * (status == "missing")
        assert house.status(sid) == status
        here.press("Play")
        here.hears(sid)
        assert here.position() >= 1
        assert here.actions() == [("GET", f"/api/recordings/{sid}/stream")]
    assert house.provider.count(f"hello-cbr-refused-{status}").whole == 1


def test_filters_pages_and_calls_change_while_the_sound_goes_on(house: House, visiting: Visiting) -> None:
    sid = house.call("stays", "long-cbr-stays")
    others = [house.call("goes", "hello-cbr-goes") for _ in range(PAGE_SIZE + 1)]
    with visiting() as here:
        here.log_in(path="/?agent=stays")
        page = here.page
        here.play(sid)
        here.hears(sid)
        page.evaluate("window.isTheSame = true")
        page.get_by_label("Agent").focus()
        page.get_by_label("Agent").select_option("goes")  # shows at once
        page.wait_for_url("**/?agent=goes")
        assert page.evaluate("document.activeElement.id") == "agent"
        here.row(others[0]).wait_for()
        page.get_by_role("link", name="Older calls").click()
        here.row(others[-1]).wait_for()
        page.go_back()
        here.row(others[0]).locator("time").click()
        page.locator("h1", has_text="+97254").wait_for()
        page.get_by_role("link", name="Recent calls").click()
        page.wait_for_url("**/?agent=goes")
        page.get_by_role("link", name="Show all calls").click()
        page.wait_for_url(house.service.url + "/")
        page.get_by_label("Search").fill(sid)
        page.get_by_label("Search").press("Enter")
        page.wait_for_url(f"**/?search={sid}")
        here.hears(sid)
        here.player.locator("[data-part=title]").click()
        page.wait_for_url(f"**/calls/{sid}")
        here.hears(sid)
        assert page.evaluate("window.isTheSame")
        assert here.actions() == [("GET", f"/api/recordings/{sid}/stream")]
        page.get_by_role("button", name="עברית").click()  # a visit, with the address that stands there now
        page.locator("html[dir=rtl]").wait_for()
        assert page.url.endswith(f"/calls/{sid}")
        assert here.player.is_visible()


def test_filters_are_remembered_until_all_calls_are_shown(house: House, visiting: Visiting) -> None:
    sid, other = house.call("mine", "hello"), house.call("theirs", "hello")
    with visiting() as here:
        here.log_in(path="/?agent=mine")
        here.open("/")
        here.row(sid).wait_for()
        assert here.row(other).count() == 0
        here.page.get_by_label("Agent").select_option("")
        here.page.wait_for_url(here.house.service.url + "/")
        here.open("/")
        assert here.page.get_by_role("link", name="Show all calls").count() == 0


def test_what_has_not_arrived_yet_is_played_sought_and_shown_as_progress(house: House, visiting: Visiting) -> None:
    house.provider.misbehave("long-cbr-slow-progress", "slow", bytes_per_second=1_000_000)
    sid = house.call("arriving", "long-cbr-slow-progress")
    with visiting() as here:
        here.log_in(path="/?agent=arriving")
        here.play(sid)
        here.hears(sid)
        arriving = here.row(sid).get_by_role("progressbar", name="Downloaded so far")
        arriving.wait_for()
        assert 0 < arriving.evaluate("bar => bar.value") < 1
        click_at(here, 0.6)
        goes_to(here, 360)
        here.hears(sid)
        here.page.locator(f"#call-{sid}[data-status=ready]").wait_for()
        assert arriving.is_hidden()
        here.player.get_by_role("button", name="Mute speaker 1 (left)").wait_for()  # its waveform has come
    assert house.provider.count("long-cbr-slow-progress").requests == 1


def test_a_worker_that_is_killed_while_its_recording_is_heard_is_not_noticed(house: House, visiting: Visiting) -> None:
    name = "long-cbr-killed"
    house.provider.misbehave(name, "slow", bytes_per_second=400_000)
    sid = house.call("killed", name)
    with visiting() as here:
        here.log_in(path="/?agent=killed")
        here.play(sid)
        here.hears(sid)
        query = "SELECT worker FROM recordings_attempt WHERE outcome = 'running' ORDER BY id DESC LIMIT 1"
        os.kill(int(str(house.service.sql(query)[0][0]).rpartition(":")[2]), signal.SIGKILL)
        click_at(here, 0.9)  # to what nobody has yet
        goes_to(here, 540)
        here.hears(sid)
        here.page.locator(f"#call-{sid}[data-status=ready]").wait_for()
        assert here.row(sid).get_by_role("button", name="Try again").count() == 0
    assert house.provider.count(name).ranges == 1


def test_a_recording_that_has_changed_since_is_played_all_the_same(house: House, visiting: Visiting) -> None:
    sid = house.call("changed", "hello-cbr-changed")
    with visiting() as here:
        here.log_in(path="/?agent=changed")
        here.play(sid)
        here.hears(sid)
        here.page.locator(f"#call-{sid}[data-status=ready]").wait_for()
        here.open("/?agent=changed")
        house.service.sql("UPDATE call_log SET recording_version = recording_version + 1 WHERE call_sid = %s", sid)
        here.play(sid)
        here.hears(sid)


@pytest.mark.parametrize("skips", [False, True])
def test_silence_is_skipped_where_that_is_wanted(house: House, visiting: Visiting, skips: bool) -> None:
    sid = house.call(f"silence-{skips}", f"hello-cbr-silence-{skips}")
    peaks = {"duration": 4.6, "lanes": [[90] * 20 + [0] * 60 + [90] * 20]}
    with visiting() as here:
        here.log_in(path=f"/?agent=silence-{skips}")
        here.page.route("**/peaks", lambda route: route.fulfill(json=peaks))
        here.play(sid)
        here.hears(sid)
        if skips:
            here.press("Skip silence")
        here.page.locator(f"#call-{sid}[data-status=ready]").wait_for()
        seen = [here.position()]
        while seen[-1] < 3.4:
            seen.append(here.position())
        assert (max(after - before for before, after in pairwise(seen)) > 1) is skips
