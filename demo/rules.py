"""Which misbehaviour a request meets."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from demo.addresses import Address
from demo.exchange import Exchange
from demo.misbehaviour import TABLE

ALL = "*"


@dataclass
class Rule:
    """A misbehaviour with its options, for the first `first` requests of each recording (None: all)."""

    run: Callable[[Exchange], None]
    first: int | None
    used: Counter[str] = field(default_factory=Counter)

    def take(self, recording: str) -> bool:
        """True when it still holds for this recording; counts the request."""
        if self.first is None:
            return True
        self.used[recording] += 1
        return self.used[recording] <= self.first


class Rules:
    """Misbehaviours by recording: one for the recording goes before one for all (`*`), and that before its name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: dict[str, list[Rule]] = {}
        self._named: dict[tuple[str, str], Rule] = {}

    def add(
        self, recording: str, name: str, first: int | None = None, options: dict[str, object] | None = None
    ) -> None:
        """Add a misbehaviour after those that are there; one without `first` also replaces an earlier one without.

        ValueError for an unknown name or option.
        """
        if name not in TABLE:
            raise ValueError(f"Unexpected misbehaviour {name!r}; use one of {', '.join(TABLE)}")
        misbehaviour, options = TABLE[name], options or {}
        misbehaviour.check(options)
        rule = Rule(partial(misbehaviour.run, **options), misbehaviour.first if first is None else first)
        with self._lock:
            rules = self._rules.setdefault(recording, [])
            if rules and rules[-1].first is None:
                rules.pop()
            rules.append(rule)

    def clear(self, recording: str | None = None) -> None:
        """Drop the rules of one recording, or (None) all; the counts of "the first N" begin again."""
        with self._lock:
            if recording is None:
                self._rules.clear()
                self._named.clear()
            else:
                self._rules.pop(recording, None)

    def find(self, address: Address) -> Callable[[Exchange], None] | None:
        """What to do with a request instead of the right thing; None when nothing."""
        if not self._rules and address.misbehaviour is None:
            return None
        with self._lock:
            for key in (address.recording, ALL):
                for rule in self._rules.get(key, ()):
                    if rule.take(address.recording):
                        return rule.run
            if address.misbehaviour is None:
                return None
            rule = self._by_name(address.recording, address.misbehaviour, address.first)
            return rule.run if rule.take(address.recording) else None

    def _by_name(self, recording: str, name: str, first: int | None) -> Rule:
        """The rule that the recording's own name makes."""
        rule = Rule(TABLE[name].run, TABLE[name].first if first is None else first)
        return self._named.setdefault((recording, name), rule)
