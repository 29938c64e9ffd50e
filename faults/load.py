"""People and programs at a service under proof: they press Play, listen while it arrives, and compare every byte."""

import http.client
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from recordings.tests.living import Customer

LIKELY = {
    "": 60, "-slow": 12, "-flaky": 6, "-reset-body-x1": 5, "-short-body-x1": 4, "-slow-start": 4, "-chunked": 2,
    "-hang-up-x1": 2, "-error-500-x1": 2, "-stall-body-x1": 1, "-redirect": 1, "-rate-limited-x1": 1,
}  # fmt: skip
"""How the provider behaves for a recording, and how often so. It gives all of them in the end."""

STOCK, LOW = 400, 40
"""Recordings that are imported at once, and so few of them left that more are."""
LISTEN_FOR = 120.0
TRICKLE_EVERY = 20.0
PIECE = 8192


@dataclass
class Heard:
    """What listeners were sent: whole recordings, plays that broke off, bytes; and what was wrong, in words."""

    whole: int = 0
    cut: int = 0
    bytes: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass
class Play:
    """One listener's progress in one recording."""

    at: int = 0
    etag: str = ""
    most: int | None = None


class Load:
    """Threads that ask for one recording after the other, as long as fewer than `most` are under way."""

    def __init__(self, customer: Customer, seed: int, under_way: Callable[[], int], most: int = 40) -> None:
        self.customer, self.most = customer, most
        self.heard = Heard()
        self.names: dict[str, str] = {}
        self.asked: set[str] = set()
        self.answers: dict[int, int] = {}
        self._under_way = under_way
        self._random = random.Random(seed)
        self._stock: deque[str] = deque()
        self._lock, self._supplying = threading.Lock(), threading.Lock()
        self._stopping, self._going = threading.Event(), threading.Event()
        jobs = [self._ask_on] * 3 + [self._listen_on] * 3 + [self._supply]
        self._threads = [
            threading.Thread(target=self._run, args=(job,), name=job.__name__, daemon=True) for job in jobs
        ]

    def start(self) -> None:
        """Begin."""
        self._stock_up()
        self._going.set()
        for thread in self._threads:
            thread.start()

    def stop(self) -> list[str]:
        """No further request; who has not come back after a while is named."""
        self._stopping.set()
        self._going.set()
        until = time.monotonic() + LISTEN_FOR
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return [f"A client is still waiting: {thread.name}" for thread in self._threads if thread.is_alive()]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody asks for anything new meanwhile."""
        self._going.clear()
        try:
            yield
        finally:
            self._going.set()

    def reserved(self, count: int) -> list[str]:
        """So many recordings that nobody else asks for, and that the provider gives as it should."""
        with self._supplying:
            return self._import([""] * count)

    def ask(self, sid: str, seconds: float = 60) -> bool:
        """Press Play once, as a person does: again when the web does not answer. False when it never did."""
        way = self._random.choice((("POST", "download"), ("GET", "stream")))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                status, _, body = self.customer.request(
                    way[0], f"/api/recordings/{sid}/{way[1]}", {} if way[0] == "POST" else None
                )
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            self._count(status)
            if status in {200, 202}:
                self.asked.add(sid)
                return True
            if status != 503:
                self.heard.wrong.append(f"{way[0]} {way[1]} of {sid} answered {status}: {body[:200]!r}")
                return True
            time.sleep(0.2)
        return False

    def listen(self, sid: str, seconds: float = LISTEN_FOR, most: int | None = None) -> bool:
        """Play it while it arrives, going on where a connection broke; True when it was heard to its end.

        `most`: hang up after so many bytes.
        """
        expected = self.expected(sid)
        play, until = Play(most=most), time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(OSError, http.client.HTTPException):
                if self._hear(sid, play, expected):
                    self.heard.whole += 1
                    return True
            if most is not None and play.at >= most:
                return False
            time.sleep(0.1)
        return False

    def expected(self, sid: str) -> bytes:
        """The provider's bytes."""
        provider = self.customer.provider
        return provider.audio(provider.url(self.names[sid], "wav")).body

    # --- one play

    def _hear(self, sid: str, play: Play, expected: bytes) -> bool:
        """One request; True at the end of the recording. What it was sent is compared as it comes."""
        headers = {"Authorization": f"Token {self.customer.token}"}
        if play.at:
            headers |= {"Range": f"bytes={play.at}-", "If-Range": play.etag}
        connection = http.client.HTTPConnection("127.0.0.1", self.customer.service.port, timeout=40)
        try:
            connection.request("GET", f"/api/recordings/{sid}/stream?live=1", headers=headers)
            answer = connection.getresponse()
            self._count(answer.status)
            if answer.status not in {200, 206}:
                self._not_audio(sid, play, answer)
                return False
            self.asked.add(sid)
            play.at = _start(answer)
            play.etag = answer.headers.get("ETag", "")
            return self._read(sid, play, answer, expected)
        finally:
            connection.close()

    def _read(self, sid: str, play: Play, answer: http.client.HTTPResponse, expected: bytes) -> bool:
        try:
            while piece := answer.read1(PIECE):
                if piece != expected[play.at : play.at + len(piece)]:
                    self.heard.wrong.append(f"{sid}: wrong bytes at {play.at} (answered {answer.status})")
                play.at += len(piece)
                self.heard.bytes += len(piece)
                if play.most is not None and play.at >= play.most:
                    break
        finally:
            whole = play.at == len(expected)
            self.heard.cut += not whole
        return whole

    def _not_audio(self, sid: str, play: Play, answer: http.client.HTTPResponse) -> None:
        body = answer.read()
        if answer.status == 202:
            self.asked.add(sid)
        elif answer.status in {412, 416}:  # another content than it has a part of
            play.at = 0
        elif answer.status not in {409, 503}:  # 409: it has failed too often; people ask again at the end
            self.heard.wrong.append(f"Playing {sid} answered {answer.status}: {body[:200]!r}")

    def _count(self, status: int) -> None:
        with self._lock:
            self.answers[status] = self.answers.get(status, 0) + 1

    def _stock_up(self) -> None:
        self._stock.extend(self._import(self._random.choices(list(LIKELY), list(LIKELY.values()), k=STOCK)))

    def _import(self, endings: list[str]) -> list[str]:
        """New recordings, for which the provider does as these endings of their names say."""
        first = len(self.names)
        new = {f"CA{number:06}": f"bulk-{number:06}{ending}" for number, ending in enumerate(endings, first)}
        self.names |= new
        self.customer.import_recordings(new)
        return list(new)

    # --- threads

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            said = getattr(error, "stderr", "")  # of a command that failed
            self.heard.wrong.append(f"A client broke down: {error!r} {said}")

    def _ask_on(self) -> None:
        while (sid := self._next()) is not None:
            self.ask(sid)

    def _listen_on(self) -> None:
        while (sid := self._next()) is not None:
            self.listen(sid)

    def _next(self) -> str | None:
        """The next recording that somebody wants; None when the proof is over."""
        while not self._stopping.is_set():
            self._going.wait()
            if self._stopping.is_set():
                return None
            if self._stock and self._under_way() < self.most:
                with suppress(IndexError):
                    return self._stock.popleft()
            self._stopping.wait(0.05)
        return None

    def _supply(self) -> None:
        """Import more when few are left, and a trickle of bulk work."""
        next_trickle = time.monotonic() + TRICKLE_EVERY
        while not self._stopping.wait(0.5):
            if len(self._stock) < LOW:
                with self._supplying:
                    self._stock_up()
            if time.monotonic() > next_trickle:
                with self._supplying:  # it takes nothing that was reserved meanwhile
                    if self._going.is_set():
                        self._trickle()
                        next_trickle = time.monotonic() + TRICKLE_EVERY

    def _trickle(self) -> None:
        self.customer.service.manage("backfill_recordings", "--business", self.customer.slug, "--limit", "8")


def _start(answer: http.client.HTTPResponse) -> int:
    """Where in the recording an answer begins."""
    if answer.status == 200:
        return 0
    return int(answer.headers["Content-Range"].removeprefix("bytes ").partition("-")[0])
