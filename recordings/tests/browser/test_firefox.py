"""What matters most, in a real Firefox too. Its own Marionette tells it what to do: no driver is needed."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.service import wait_until
from recordings.tests.browser.house import LISTENER, PASSWORD, House

pytestmark = pytest.mark.once

PREFERENCES = {
    "marionette.port": 0,  # any that is free; it writes which into its profile
    "media.cubeb.force_mock_context": True,  # plays at the right speed where there is no sound card
    "network.dns.disabled": True,  # it reaches this machine and no other
}


class Firefox:
    """A connection to one. A message is an array in JSON with its length before it."""

    def __init__(self, connection: socket.socket, base_url: str) -> None:
        self._connection, self._base_url = connection, base_url
        self._answers = connection.makefile("rb")
        self._read()  # how it introduces itself
        self.ask("WebDriver:NewSession")

    def ask(self, command: str, **parameters: Any) -> Any:
        """Tell it a command of WebDriver's; returns when that is done."""
        message = json.dumps([0, 1, command, parameters]).encode()
        self._connection.sendall(b"%d:%s" % (len(message), message))
        _, _, error, answer = self._read()
        assert error is None, error
        return answer

    def _read(self) -> Any:
        length = b""
        while (byte := self._answers.read(1)) not in (b":", b""):
            length += byte
        return json.loads(self._answers.read(int(length)))

    def open(self, path: str) -> None:
        self.ask("WebDriver:Navigate", url=self._base_url + path)

    def script(self, script: str) -> Any:
        """Run it in the page, which is no gesture."""
        return self.ask("WebDriver:ExecuteScript", script=script, args=[])["value"]

    def find(self, selector: str) -> str:
        found = self.ask("WebDriver:FindElement", using="css selector", value=selector)
        return str(*found["value"].values())

    def click(self, selector: str) -> None:
        """As a person does, with the mouse."""
        self.ask("WebDriver:ElementClick", id=self.find(selector))

    def log_in(self) -> None:
        self.open("/login/")
        for name, text in (("username", LISTENER), ("password", PASSWORD)):
            self.ask("WebDriver:ElementSendKeys", id=self.find(f"[name={name}]"), text=text)
        self.click("main button[type=submit]")

    def becomes(self, sid: str, activity: str) -> None:
        ask = f"return document.querySelector('#call-{sid}').dataset.activity"
        wait_until(lambda: self.script(ask) == activity, what=f"{sid} is {activity}")

    def position(self) -> float:
        return float(self.script("return document.querySelector('audio').currentTime"))


@pytest.fixture(scope="module")
def firefox(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """One that is logged in."""
    program = shutil.which("firefox-esr")
    if not program:
        pytest.skip("No Firefox: apt-get install firefox-esr")
    profile = tmp_path_factory.mktemp("firefox")
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("".join(lines))
    with subprocess.Popen(
        [program, "--headless", "--marionette", "--no-remote", "--profile", profile],
        env=os.environ | {"HOME": str(profile)},  # it leaves nothing in ours
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            port = wait_until(lambda: _port(profile), what="Firefox listens")
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                firefox = Firefox(connection, house.service.url)
                firefox.log_in()
                yield firefox
        finally:
            process.terminate()


def _port(profile: Path) -> int:
    file = profile / "MarionetteActivePort"
    return int(file.read_text() or 0) if file.exists() else 0


def test_a_missing_recording_is_heard_after_one_press(house: House, firefox: Firefox) -> None:
    sid = house.call("firefox", "hello-cbr-firefox")
    firefox.open("/?agent=firefox")
    firefox.click(f"#call-{sid} [data-play]")
    firefox.becomes(sid, "playing")
    wait_until(lambda: firefox.position() > 1)
    assert house.provider.count("hello-cbr-firefox").whole == 1


def test_what_has_not_arrived_yet_can_be_sought(house: House, firefox: Firefox) -> None:
    house.provider.misbehave("long-cbr-slow-firefox", "slow", bytes_per_second=1_000_000)
    sid = house.call("firefox-seeks", "long-cbr-slow-firefox")
    firefox.open("/?agent=firefox-seeks")
    firefox.click(f"#call-{sid} [data-play]")
    firefox.becomes(sid, "playing")
    firefox.click("recording-player [data-part=slider]")  # in its middle
    wait_until(lambda: 295 < firefox.position() < 310)
    firefox.becomes(sid, "playing")
    assert house.provider.count("long-cbr-slow-firefox").requests == 1


def test_a_sound_that_it_refuses_waits_for_one_press(house: House, firefox: Firefox) -> None:
    sid = house.call("firefox-refuses", "hello-cbr-firefox-refuses")
    firefox.open(f"/calls/{sid}")
    firefox.script("document.querySelector('[data-play]').click()")
    firefox.becomes(sid, "paused")
    firefox.click("recording-player [data-do=toggle]")
    firefox.becomes(sid, "playing")
    wait_until(lambda: firefox.position() > 1)
