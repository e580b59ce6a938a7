"""Who may ask, and how often."""

import hashlib
import hmac
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

_MINUTE = 60.0


class Tokens:
    """The secrets of those who may ask."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._hashes = {name: _hash(token) for name, token in tokens.items()}

    def name(self, authorization: str) -> str | None:
        """Whose token an Authorization header shows; None where it is nobody's. Takes as long for a wrong one as for a right one."""
        scheme, _, shown = authorization.partition(" ")
        given = _hash(shown.strip())
        found = [name for name, known in self._hashes.items() if hmac.compare_digest(known, given)]
        return found[0] if found and scheme.casefold() == "bearer" else None


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()


class Pace:
    """At most so many events a minute under each name; may be used by several threads."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._events: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def wait_s(self, name: str) -> float:
        """0 where the event may happen, and then it counts; else the seconds until one may."""
        now = self._clock()
        with self._lock:
            events = self._events.setdefault(name, deque())
            while events and events[0] <= now - _MINUTE:
                events.popleft()
            if len(events) >= self._most:
                return events[0] + _MINUTE - now
            events.append(now)
            return 0.0
