"""Playing while it arrives: one growing file, read by all its listeners in this process.

A Feed is one recording that people wait for; it asks for the download once, whoever and however many they are. Its
Flow is the content that arrives: its attempt may die and another go on, and the bytes stay the same. The lookout's
thread looks at the file's size for all of them; each listener's own thread reads and sends.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import Error, connection
from django.utils import timezone

from calls.models import CallLog, RecordingStatus
from recordings.lifecycle import Answer
from recordings.models import Recording
from recordings.playback.asks import Asks
from recordings.playback.lookout import Lookout, lookout
from recordings.playback.waiting import is_settled
from recordings.status import content_name
from recordings.storage import StorageAway, default_storage

log = logging.getLogger(__name__)

TICK, LAST_TICKS = 0.01, 0.002
"""Seconds between two looks at a growing file's size; the shorter when its last bytes come."""

_TELL_BYTES, _TELL_EVERY, _CROWD = 65536, 0.1, 32
"""How much more, or how many seconds later, listeners are told of. Each telling wakes all of them, so that each _CROWD
of them makes it as much more; but the last bytes come alone, for nobody is done before everybody has those."""

_STILL = 0.25
"""Seconds without a new byte after which the writer may be dead, and its lock is tried."""

_ASK_EVERY = 1.0
"""Seconds between two askings for one recording, whatever the number of listeners."""


class Broken(Exception):
    """What was being heard does not go on: the connection must break, not end well."""


@dataclass(frozen=True)
class Content:
    """What arrives: the name of its bytes (a Unix time), how many there will be, and their type."""

    version: int
    total: int
    content_type: str

    @property
    def name(self) -> str:
        """What a client calls it: recordings.status.version, and without its quotes the ETag."""
        return content_name(self.version, self.total)


class Flow:
    """One content while it arrives. Many threads read; the lookout's thread tells them of what is new."""

    def __init__(self, content: Content, file: "_Growing") -> None:
        self.content = content
        self._file = file
        self._size = file.size()
        self._broken = False
        self._grew = threading.Condition()
        self._told_at = self._grown_at = self._lived_at = time.monotonic()

    def read(self, at: int, most: int) -> bytes:
        """At least one byte from `at` on, as soon as it is there. Raises Broken when it never will be."""
        with self._grew:
            while self._size <= at and not self._broken:
                self._grew.wait()
            if self._size <= at:
                raise Broken
            file, most = self._file, min(most, self._size - at)
        block = os.pread(file.descriptor, most, at)
        if not block:
            raise Broken
        return block

    def look(self, listeners: int = 1) -> None:
        """Take in the file's size. Whoever waits, `listeners` of them, is told when it is worth waking them."""
        size, now = self._file.size(), time.monotonic()
        nearly_all = self.content.total - _TELL_BYTES
        with self._grew:
            if size <= self._size:
                return
            self._grown_at = self._lived_at = now
            much = size - self._size >= _TELL_BYTES * (1 + listeners // _CROWD)
            if (
                much
                or now - self._told_at >= _TELL_EVERY
                or self._size < nearly_all <= size
                or size >= self.content.total
            ):
                self._size, self._told_at = size, now
                self._grew.notify_all()

    def go_on(self, file: "_Growing") -> None:
        """Another attempt has gone on with a copy of the same bytes."""
        with self._grew:
            self._file = file
            self._grown_at = time.monotonic()

    def be_patient(self) -> None:
        """Something has been done about a writer that died: give it time."""
        self._grown_at = time.monotonic()

    def is_stale(self) -> bool:
        """Whether nothing has come for as long as a download may take. Who has left is noticed only by sending."""
        return time.monotonic() - self._lived_at > settings.RECORDINGS_DEADLINE

    def break_off(self) -> None:
        """It will not be completed. What is here can still be read."""
        with self._grew:
            self._broken = True
            self._grew.notify_all()

    @property
    def is_nearly_complete(self) -> bool:
        """Whether the last of what listeners are told of comes now, and not some time."""
        return self._size >= self.content.total - 2 * _TELL_BYTES and time.monotonic() - self._grown_at < _STILL

    @property
    def token(self) -> str:
        """The attempt that writes it."""
        return self._file.token

    @property
    def is_complete(self) -> bool:
        """Whether every byte is here."""
        return self._size >= self.content.total

    def writer_died(self) -> bool:
        """Whether it is not complete, nothing has come for a while, and nobody holds the lock on the part."""
        if self.is_complete or time.monotonic() - self._grown_at <= _STILL or not self._file.is_unlocked():
            return False
        return self._file.size() < self.content.total  # looked at last: it may have ended well meanwhile


class _Growing:
    """A part, open for reading. Closed when nobody refers to it: a thread may be reading while another swaps it."""

    def __init__(self, recording_id: int, token: str) -> None:
        self.token = token
        self.descriptor = default_storage().open_growing(recording_id, token)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)

    def size(self) -> int:
        return os.fstat(self.descriptor).st_size

    def is_unlocked(self) -> bool:
        """Its writer holds the lock while it lives; a file without a name was given up, and says nothing."""
        if not os.fstat(self.descriptor).st_nlink:
            return False
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        return True


class Feed:
    """One recording, for everybody in this process who wants to hear it before it is whole."""

    whole_rows = False

    def __init__(self, recording_id: int) -> None:
        self.recordings = (recording_id,)
        self.listeners = 0
        self.flow: Flow | None = None
        self._row: CallLog | None = None
        self._over = False
        self._turned = threading.Condition()
        self._asking = False
        self._asked_at = 0.0

    @property
    def is_over(self) -> bool:
        """Whether whoever comes now needs another feed."""
        return self._over

    # --- for listeners

    def may_ask(self) -> bool:
        """Whether the caller is the one to ask for the download; then it calls `asked` in any case."""
        with self._turned:
            if self._asking or time.monotonic() - self._asked_at < _ASK_EVERY:
                return False
            self._asking = True
            return True

    def asked(self) -> None:
        """What was read before is out of date."""
        with self._turned:
            self._asking, self._asked_at, self._row = False, time.monotonic(), None

    def wait(self, seconds: float) -> Flow | None:
        """What arrives, as soon as its first bytes are here. None when nothing will by itself within `seconds`."""
        until = timezone.now() + timedelta(seconds=seconds)
        with self._turned:
            self._turned.wait_for(lambda: self.flow is not None or self._is_hopeless(until), seconds)
            return self.flow

    def _is_hopeless(self, until: datetime) -> bool:
        if self._over:
            return True
        if self._row is None or self._asking:
            return False
        return is_settled(self._row, until) or _is_mute(self._row)

    # --- for the lookout

    def see(self, rows: Mapping[int, CallLog], since: float) -> bool:
        """Follow the row: a new attempt, the end, a failure. What was read before somebody asked is not believed."""
        with self._turned:
            if since < self._asked_at:
                return False
            row, flow = rows.get(self.recordings[0]), self.flow
            before = (flow, self._over)
            if flow is None or not flow.is_complete:
                flow = self._follow(row, flow)
            elif row is None or row.recording_token != flow.token:
                self._over = True  # who listens hears it to its end; who comes now is told how it stands
            self._row, self.flow = row, flow
            self._over = self._over or row is None
            self._turned.notify_all()
            return before != (flow, self._over)

    def _follow(self, row: CallLog | None, flow: Flow | None) -> Flow | None:
        """What can be heard of the row's attempt, going on with `flow` where that has the same bytes."""
        status = row.recording_download_status if row else None
        if row is None or status in {RecordingStatus.FAILED, RecordingStatus.MISSING}:
            _break_off(flow)
            return None
        if status == RecordingStatus.QUEUED or (flow and row.recording_token == flow.token):
            return flow  # held: another attempt will go on
        token = row.recording_token if status == RecordingStatus.DOWNLOADING else row.recording_file.rpartition("/")[2]
        content = content_of(row)
        if content is None or not token:
            return flow
        if flow and flow.content != content:
            self._over = True
            _break_off(flow)
            return None
        if flow is None and status == RecordingStatus.READY:
            return None  # served as a file
        return self._opened(row.pk, token, content, flow)

    def _opened(self, recording_id: int, token: str, content: Content, flow: Flow | None) -> Flow | None:
        try:
            file = _Growing(recording_id, token)
        except (StorageAway, FileNotFoundError, ValueError):  # gone again: the row will say what became of it
            return flow
        if flow is None:
            return Flow(content, file)
        flow.go_on(file)
        return flow

    def tick(self) -> float | None:
        """Look at the file's size; a dead writer's recording is queued again at once."""
        flow = self.flow
        if flow is None or flow.is_complete:
            return None
        flow.look(self.listeners)
        if flow.writer_died():
            flow.be_patient()
            # In a thread of its own: a write may have to wait, and all listeners of this process with it.
            threading.Thread(target=self._release, args=(flow.token,), name="release", daemon=True).start()
        if flow.is_stale():
            self._over = True
            flow.break_off()
        return LAST_TICKS if flow.is_nearly_complete else TICK

    def _release(self, token: str) -> None:
        about = {"action": "live", "recording": self.recordings[0]}
        try:
            if Recording.objects.release(dead=[(self.recordings[0], token)]):
                log.warning("A worker died while its recording was heard", extra=about)
        except Error:
            log.warning("A dead worker's recording could not be released", exc_info=True, extra=about)
        finally:
            connection.close()

    def close(self) -> None:
        """Let go of the file: nobody listens any more."""
        self._over, self.flow = True, None

    def blind(self) -> None:
        """Nobody looks any more: nobody is kept waiting for what nobody sees."""
        _break_off(self.flow)
        with self._turned:
            self._over = True
            self._turned.notify_all()


class Feeds:
    """The feeds of this process, by recording. They last as long as somebody listens."""

    def __init__(self, where: Lookout = lookout) -> None:
        self._where = where
        self._lock = threading.Lock()
        self._asks = Asks()
        self._feeds: dict[int, Feed] = {}

    def join(self, recording_id: int) -> Feed:
        """The feed of this recording; to be left with `leave`."""
        with self._lock:
            feed = self._feeds.get(recording_id)
            if feed is None or feed.is_over:
                feed = self._feeds[recording_id] = Feed(recording_id)
            feed.listeners += 1
            new = feed.listeners == 1
        if new:
            try:
                self._where.add(feed, read=False)  # `ask` will have something to see
            except BaseException:
                feed.blind()  # somebody may have joined it meanwhile
                self.leave(feed)
                raise
        return feed

    def leave(self, feed: Feed) -> None:
        """One listener less; after the last one nobody looks."""
        with self._lock:
            feed.listeners -= 1
            if feed.listeners:
                return
            if self._feeds.get(feed.recordings[0]) is feed:
                del self._feeds[feed.recordings[0]]
        self._where.remove(feed)
        feed.close()

    def ask(self, feed: Feed, row: CallLog) -> Answer | None:
        """Ask for the download, if nobody in this process has just asked; None otherwise."""
        if not feed.may_ask():
            return None
        try:
            return self._asks.ask(row)
        finally:
            feed.asked()
            self._where.look()


def _break_off(flow: Flow | None) -> None:
    if flow:
        flow.break_off()


def content_of(row: CallLog) -> Content | None:
    """What arrives, once that is known and can be told: with a length, and of a type that can be played."""
    version, total = row.recording_version, row.recording_bytes_total
    if version is None or total is None or not row.recording_content_type:
        return None
    return Content(version, total, row.recording_content_type)


def _is_mute(row: CallLog) -> bool:
    """Whether it arrives and can't be heard before it is whole: its length is unknown, or what it is."""
    told = row.recording_content_type != "" or row.recording_bytes_total is not None
    return row.recording_download_status == RecordingStatus.DOWNLOADING and told and content_of(row) is None


feeds = Feeds()
"""Those of this process."""
