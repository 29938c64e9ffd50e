"""Peaks: how loud each slice of a recording is, for players to draw. A lane a channel: in stereo, who spoke when.

All loops over samples are audioop's, in C: the worker verifies hundreds of recordings a second.
"""

import json
import warnings
from array import array
from collections.abc import Callable
from typing import NamedTuple

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # from 3.13 on it is audioop-lts, under the same name
    import audioop

SLICES_A_SECOND = 20
MOST_SLICES = 1800
"""Of a lane: 90 seconds at 20 a second. A longer recording has wider slices."""

_MOST_LANES = 2
_PIECE = 1 << 15  # bytes at a time: what stays in the processor's cache, and needs no new pages
_MOST_WINDOWS = 4 * MOST_SLICES  # kept while the end is not in sight; so slices are equal to a quarter of one


class Encoding(NamedTuple):
    """Samples of `size` bytes, and how they become signed integers of `width` bytes (1 or 2)."""

    size: int
    width: int
    linear: Callable[[memoryview], bytes | memoryview]


UNSIGNED_8 = Encoding(1, 1, lambda samples: audioop.bias(samples, 1, 128))
SIGNED_16 = Encoding(2, 2, lambda samples: samples)
SIGNED_24 = Encoding(3, 2, lambda samples: audioop.lin2lin(samples, 3, 2))
SIGNED_32 = Encoding(4, 2, lambda samples: audioop.lin2lin(samples, 4, 2))
ULAW = Encoding(1, 2, lambda samples: audioop.ulaw2lin(samples, 2))
ALAW = Encoding(1, 2, lambda samples: audioop.alaw2lin(samples, 2))


class Peaks(NamedTuple):
    """The waveform. `duration` is in seconds; a lane's slices are equally long, and say percent of full scale."""

    duration: float
    lanes: list[list[int]]

    def json(self) -> bytes:
        """As it is kept and served."""
        waveform = {"duration": round(self.duration, 3), "lanes": self.lanes}
        return json.dumps(waveform, separators=(",", ":")).encode()


class Meter:
    """Takes a recording block by block, and holds no more of it than a window of each lane."""

    def __init__(self, channels: int, sample_rate: int, encoding: Encoding = SIGNED_16) -> None:
        """`sample_rate` is in frames a second; a frame is a sample of each channel."""
        self._channels, self._encoding = channels, encoding
        self._piece = max(1, _PIECE // (channels * encoding.size)) * channels * encoding.size
        window, width = max(1, sample_rate // SLICES_A_SECOND), encoding.width
        if channels == 2:
            # Two samples read as one of twice the width are as loud as the second, which is its upper half: nothing
            # has to be taken apart. Moved by one sample, the same holds for the first.
            self._lanes = [_Lane(window, 2 * width, before=bytes(width)), _Lane(window, 2 * width)]
        else:
            self._lanes = [_Lane(window, width) for _ in range(min(channels, _MOST_LANES))]

    def add(self, block: bytes | memoryview) -> None:
        """The next frames, whole ones, channel by channel."""
        whole = memoryview(block)
        for at in range(0, len(block), self._piece):
            samples = memoryview(self._encoding.linear(whole[at : at + self._piece]))
            for channel, lane in enumerate(self._lanes):
                lane.add(samples if self._channels <= 2 else self._of(channel, samples))

    def peaks(self, duration: float) -> Peaks:
        """Of all that was added, which lasts so many seconds."""
        return Peaks(duration, [lane.slices() for lane in self._lanes])

    def _of(self, channel: int, samples: memoryview) -> memoryview:
        frames = array("bh"[self._encoding.width - 1])
        frames.frombytes(samples)
        return memoryview(frames[channel :: self._channels]).cast("B")


class _Lane:
    """The peaks of one channel, window by window. When they are too many, each two become one of twice the width."""

    def __init__(self, window: int, width: int, before: bytes = b"") -> None:
        """A `window` is in samples of `width` bytes; `before` comes ahead of them all."""
        self._width, self._window = width, window * width
        self._peaks: list[int] = []
        self._rest, self._resting = [memoryview(before)], len(before)

    def add(self, piece: memoryview) -> None:
        missing = self._window - self._resting
        if len(piece) < missing:
            self._rest.append(piece)
            self._resting += len(piece)
            return
        at = 0
        if self._resting:
            at = missing
            self._measure(memoryview(b"".join([*self._rest, piece[:at]])), 0)
        while len(piece) - at >= self._window:
            at = self._measure(piece, at)
        self._rest, self._resting = [piece[at:]], len(piece) - at

    def slices(self) -> list[int]:
        rest, peaks = b"".join(self._rest), self._peaks
        if len(rest) >= self._width:
            peaks = [*peaks, audioop.max(rest[: len(rest) // self._width * self._width], self._width)]
        there, wanted = len(peaks), min(len(peaks), MOST_SLICES)
        if there > wanted:
            peaks = [max(peaks[at * there // wanted : (at + 1) * there // wanted]) for at in range(wanted)]
        full = 1 << (8 * self._width - 1)
        return [(peak * 100 + full // 2) // full for peak in peaks]

    def _measure(self, samples: memoryview, at: int) -> int:
        """As many windows as there are, and as there is room for; where the next one begins."""
        window, width, peak = self._window, self._width, audioop.max
        windows = min((len(samples) - at) // window, _MOST_WINDOWS - len(self._peaks))
        stop = at + windows * window
        self._peaks += [peak(samples[start : start + window], width) for start in range(at, stop, window)]
        if len(self._peaks) == _MOST_WINDOWS:
            self._peaks = list(map(max, self._peaks[::2], self._peaks[1::2]))
            self._window *= 2
        return stop
