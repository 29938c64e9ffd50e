"""Pressing Play in a real browser, on a real service with a real provider behind it."""

from playwright.sync_api import Route

from demo.service import wait_until
from recordings.tests.browser.conftest import Visiting
from recordings.tests.browser.house import MANAGER, House


def test_a_missing_recording_is_heard_after_one_press_one_request_and_one_fetch(
    house: House, visiting: Visiting
) -> None:
    sid = house.call("cold", "hello-cbr-cold")
    with visiting() as here:
        here.log_in(path="/?agent=cold")
        assert here.label(sid) == "Not downloaded"
        assert here.asked == []
        here.play(sid)
        here.hears(sid)
        assert here.actions() == [("GET", f"/api/recordings/{sid}/stream")]
        assert here.asked[0] == here.actions()[0]  # first the sound, then news of it
        here.page.locator(f"#call-{sid}[data-status=ready]").wait_for()
    assert house.provider.count("hello-cbr-cold").whole == 1


def test_loading_is_said_before_the_server_has_answered(house: House, visiting: Visiting) -> None:
    sid = house.call("waiting", "hello-cbr-waiting")
    with visiting() as here:
        here.log_in(path="/?agent=waiting")
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        here.page.route("**/stream?*", hold)
        with here.page.expect_request("**/stream?*"):
            here.play(sid)
        assert here.label(sid) == "Loading…"
        assert here.row(sid).get_attribute("aria-busy") == "true"
        assert "Loading…" in here.page.locator("#announcer").inner_text()
        assert "Loading…" in here.player.inner_text()
        held[0].abort()


def test_a_ready_recording_is_heard_without_any_request_but_for_its_audio(house: House, visiting: Visiting) -> None:
    sid = house.call("warm", "hello-cbr-warm")
    with visiting() as here:
        here.log_in(path="/?agent=warm")
        here.play(sid)
        here.hears(sid)
        here.page.locator(f"#call-{sid}[data-status=ready]").wait_for()
        here.open("/?agent=warm")
        here.asked.clear()
        here.play(sid)
        here.hears(sid)
        assert here.asked[0] == ("GET", f"/api/recordings/{sid}/stream")
        assert here.actions() == here.asked[:1]


def test_a_press_on_what_plays_pauses_it_and_a_press_on_another_stops_it(house: House, visiting: Visiting) -> None:
    first, second = house.call("two", "call-cbr-one"), house.call("two", "call-cbr-two")
    with visiting() as here:
        here.log_in(path="/?agent=two")
        here.play(first)
        here.hears(first)
        here.row(first).get_by_role("button", name="Pause").click()
        here.page.locator(f"#call-{first}[data-activity=paused]").wait_for()
        here.play(second)
        here.hears(second)
        assert here.label(first) == "Ready"
        assert here.page.locator("audio").count() == 1
        here.page.get_by_role("button", name="Close the player").click()
        assert here.player.is_hidden()
        assert here.page.evaluate("document.querySelector('audio').paused")
        assert here.page.evaluate("document.activeElement.closest('[data-recording]').id") == f"call-{second}"


def test_play_works_with_the_keyboard_alone(house: House, visiting: Visiting) -> None:
    sid = house.call("keys", "hello-cbr-keys")
    with visiting() as here:
        here.log_in(path="/?agent=keys")
        here.row(sid).get_by_role("button", name="Play").focus()
        here.page.keyboard.press("Enter")
        here.hears(sid)
        here.page.keyboard.press("Space")
        here.page.locator(f"#call-{sid}[data-activity=paused]").wait_for()


def test_a_failure_is_said_in_words_and_can_be_tried_again(house: House, visiting: Visiting) -> None:
    sid = house.call("gone", "hello-cbr-back-again")
    house.provider.misbehave("hello-cbr-back-again", "gone")
    with visiting() as here:
        here.log_in(MANAGER, "/?agent=gone")
        here.play(sid)
        again = here.row(sid).get_by_role("button", name="Try again")
        again.wait_for()
        assert here.label(sid) == "Failed"
        assert "deleted this recording" in here.row(sid).inner_text()
        assert here.row(sid).get_by_role("button", name="Play").count() == 0
        house.provider.behave("hello-cbr-back-again")
        again.click()
        here.hears(sid)


def test_a_permanent_failure_offers_nothing_to_a_listener(house: House, visiting: Visiting) -> None:
    sid = house.call("over", "hello-gone")
    with visiting() as here:
        here.log_in(path="/?agent=over")
        here.play(sid)
        here.page.locator(f"#call-{sid}[data-status=failed]").wait_for()
        assert here.row(sid).get_by_role("button").count() == 0
        here.open("/?agent=over")
        assert here.row(sid).get_by_role("button").count() == 0
        assert "deleted this recording" in here.row(sid).inner_text()


def test_a_transient_failure_is_waited_out_and_then_heard(house: House, visiting: Visiting) -> None:
    sid = house.call("flaky", "hello-cbr-flaky")
    with visiting() as here:
        here.log_in(path="/?agent=flaky")
        here.play(sid)
        here.hears(sid)
        assert here.actions() == [("GET", f"/api/recordings/{sid}/stream")]
    assert house.provider.count("hello-cbr-flaky").requests == 2


def test_a_ready_recording_whose_file_is_gone_is_fetched_again_and_heard(house: House, visiting: Visiting) -> None:
    sid = house.call("lost", "hello-cbr-lost")
    with visiting() as here:
        here.log_in(path="/?agent=lost")
        here.play(sid)
        here.hears(sid)
        here.page.locator(f"#call-{sid}[data-status=ready]").wait_for()
        ((name,),) = house.service.sql("SELECT recording_file FROM call_log WHERE call_sid = %s", sid)
        (house.service.var / "recordings" / name).unlink()
        house.service.sql("UPDATE call_log SET recording_ready_at = NULL WHERE call_sid = %s", sid)  # long ago
        here.open("/?agent=lost")
        here.play(sid)
        here.hears(sid)
    assert house.provider.count("hello-cbr-lost").whole == 2


def test_a_recording_that_the_browser_cannot_decode_is_said_in_words(house: House, visiting: Visiting) -> None:
    sid = house.call("noise", "hello-cbr-noise")
    with visiting() as here:
        here.log_in(path="/?agent=noise")
        here.play(sid)
        here.hears(sid)
        here.page.locator(f"#call-{sid}[data-status=ready]").wait_for()
        ((name,),) = house.service.sql("SELECT recording_file FROM call_log WHERE call_sid = %s", sid)
        file = house.service.var / "recordings" / name
        file.write_bytes(bytes(file.stat().st_size))
        here.open("/?agent=noise")
        here.play(sid)
        here.row(sid).get_by_role("button", name="Try again").wait_for()
        assert "cannot play this recording" in here.row(sid).inner_text()
        assert "cannot play this recording" in here.player.inner_text()


def test_several_that_are_on_their_way_are_heard_of_on_one_connection(house: House, visiting: Visiting) -> None:
    house.provider.close_gates()
    sids = [house.call("many", f"hello-cbr-{number}-gate-start") for number in range(3)]
    with visiting() as here:
        here.log_in(path="/?agent=many")
        with here.page.expect_request(lambda request: "/recordings/events?" in request.url) as heard:
            for sid in sids:
                here.play(sid)
        assert sorted(heard.value.url.split("ids=")[1].split(",")) == sorted(sids)
        house.provider.open_gate()
        here.hears(sids[-1])  # the one that was pressed last
        wait_until(lambda: [house.status(sid) for sid in sids] == ["ready"] * 3)
        for sid in sids[:-1]:
            here.page.locator(f"#call-{sid}[data-status=ready]").wait_for()
        assert not any(path.endswith("/status") for _, path in here.asked)


def test_without_push_they_are_looked_at_in_one_request(house: House, visiting: Visiting) -> None:
    house.provider.close_gates()
    sids = [house.call("pushless", f"hello-cbr-pushless-{number}-gate-start") for number in range(2)]
    with visiting() as here:
        here.log_in(path="/?agent=pushless")
        here.page.route("**/recordings/events?*", lambda route: route.fulfill(status=503))
        # Without live playback too: an <audio> that is answered 202 gives up.
        here.page.route("**/stream?*", lambda route: route.fulfill(status=202, body="{}"), times=2)
        for sid in sids:
            here.play(sid)
        with here.page.expect_request(lambda request: request.url.count("CA") == 2 and "/status?" in request.url):
            house.service.sql("SELECT 1")
        for sid in sids:
            here.page.evaluate(
                """sid => fetch(`/api/recordings/${sid}/download`, {method: "POST", headers: {
                   "X-CSRFToken": document.querySelector("[name=csrfmiddlewaretoken]").value}})""",
                sid,
            )
        house.provider.open_gate()
        here.hears(sids[-1])


def test_who_was_logged_out_meanwhile_is_led_to_the_login_and_back(house: House, visiting: Visiting) -> None:
    sid = house.call("expired", "hello-cbr-expired")
    with visiting() as here:
        here.log_in(path="/?agent=expired")
        here.page.context.clear_cookies()
        here.play(sid)
        again = here.row(sid).get_by_role("button", name="Log in again")
        again.click()
        here.page.wait_for_url("**/login/?next=*")
        here.pass_the_login(path="/?agent=expired")
        here.play(sid)
        here.hears(sid)


def test_a_server_that_cannot_be_reached_is_said_in_words(house: House, visiting: Visiting) -> None:
    sid = house.call("offline", "hello-cbr-offline")
    with visiting() as here:
        here.log_in(path="/?agent=offline")
        here.page.context.set_offline(True)
        here.play(sid)
        again = here.row(sid).get_by_role("button", name="Try again")
        again.wait_for()
        assert "could not be reached" in here.row(sid).inner_text()
        here.page.context.set_offline(False)
        again.click()
        here.hears(sid)


def test_a_recording_can_be_got_and_played_where_no_script_runs(house: House, visiting: Visiting) -> None:
    sid = house.call("plain", "hello-cbr-plain")
    with visiting(java_script_enabled=False) as here:
        here.pass_the_login(path="/?agent=plain")
        here.row(sid).get_by_role("link", name="Play").click()
        here.page.get_by_role("button", name="Get the recording").click()
        wait_until(lambda: house.status(sid) == "ready")
        here.open(f"/calls/{sid}")
        assert here.page.locator("audio[src]").get_attribute("src") == f"/api/recordings/{sid}/stream"
        here.open("/?agent=plain")
        play = here.row(sid).get_by_role("link", name="Play")
        assert play.get_attribute("href") == f"/api/recordings/{sid}/stream"
