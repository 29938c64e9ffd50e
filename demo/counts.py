"""What the provider has seen: counts by recording, and the last requests themselves."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property

LOG_LENGTH = 20_000


@dataclass
class Count:
    """Of one recording.

    `requests`: all of them; `bodies`: GETs answered 200 or 206, so fetches of the audio, whole or not; `whole`: those
    of them that were sent to their end and kept the connection; `ranges`: requests with a Range header; `refused`:
    those with wrong credentials or none.
    """

    requests: int = 0
    bodies: int = 0
    whole: int = 0
    ranges: int = 0
    refused: int = 0


@dataclass
class Seen:
    """One request for a recording; `status` None: none was sent."""

    at: float
    recording: str
    raw: bytes
    status: int | None = None

    @property
    def method(self) -> str:
        """GET or HEAD."""
        return self.raw.split(b" ", 1)[0].decode("latin-1")

    @property
    def target(self) -> str:
        """Path and query."""
        return self.raw.split(b" ", 2)[1].decode("latin-1")

    @cached_property
    def headers(self) -> dict[str, str]:
        """By lower-case name; the credentials too, in this process only."""
        return read_headers(self.raw)


def read_headers(raw: bytes) -> dict[str, str]:
    """The headers of a request head, by lower-case name."""
    lines = (line.partition(":") for line in raw.decode("latin-1").split("\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in lines}


class Counts:
    """Thread-safe; `changed` is notified at every change, for those who wait for one."""

    def __init__(self) -> None:
        self._by_recording: dict[str, Count] = {}
        self._log: deque[Seen] = deque(maxlen=LOG_LENGTH)
        self._changed = threading.Condition()
        self.at_once = 0
        self.most_at_once = 0

    def begin(self, recording: str, raw: bytes, ranged: bool) -> Seen:
        """A request has come."""
        seen = Seen(time.time(), recording, raw)
        with self._changed:
            count = self._by_recording.get(recording)
            if count is None:
                count = self._by_recording[recording] = Count()
            count.requests += 1
            count.ranges += ranged
            self._log.append(seen)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self._changed.notify_all()
        return seen

    def status(self, seen: Seen, status: int) -> None:
        """Its answer begins."""
        seen.status = status
        if status in (200, 206) and seen.raw.startswith(b"GET "):
            with self._changed:
                self._by_recording.setdefault(seen.recording, Count()).bodies += 1
                self._changed.notify_all()

    def refused(self, seen: Seen) -> None:
        """Its credentials were missing or wrong."""
        with self._changed:
            self._by_recording.setdefault(seen.recording, Count()).refused += 1

    def end(self, seen: Seen, whole: bool) -> None:
        """Its answer ended: sent to its end, or not."""
        with self._changed:
            self.at_once -= 1
            if whole and seen.status in (200, 206) and seen.raw.startswith(b"GET "):
                self._by_recording.setdefault(seen.recording, Count()).whole += 1
            self._changed.notify_all()

    def of(self, recording: str) -> Count:
        """A copy of one recording's counts; zeros when it was never asked for."""
        with self._changed:
            return replace(self._by_recording.get(recording, Count()))

    def all(self) -> dict[str, Count]:
        """A copy of every recording's counts."""
        with self._changed:
            return {recording: replace(count) for recording, count in self._by_recording.items()}

    def total(self) -> Count:
        """All recordings together."""
        fields = [asdict(count) for count in self.all().values()]
        return Count(**{name: sum(one[name] for one in fields) for name in asdict(Count())})

    def log(self) -> list[Seen]:
        """The last requests (at most 20,000), oldest first."""
        with self._changed:
            return list(self._log)

    def wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until `condition`, looked at after each change, is true; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def reset(self) -> None:
        """Forget all."""
        with self._changed:
            self._by_recording.clear()
            self._log.clear()
            self.most_at_once = self.at_once
            self._changed.notify_all()
