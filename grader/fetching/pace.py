"""How fast and how often a server is asked."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Patience:
    """Limits of one download, in seconds, and how often it is tried."""

    attempts: int = 4
    connect_s: float = 10
    read_s: float = 30
    """longest silence of a server"""
    total_s: float = 600
    """all attempts together"""
    pause_s: float = 1
    """before the second attempt; doubled for each further one"""
    longest_pause_s: float = 60
    """a server that asks for more is asked again by the next run"""

    def pause(self, attempt: int, asked: float | None) -> float:
        """Seconds to wait after a failed attempt (1, 2, …): what the server asked for, or doubling pauses of random length."""
        own = self.pause_s * 2.0 ** (attempt - 1) * random.uniform(0.5, 1)
        return own if asked is None else max(own, asked)


class Pace:
    """At most one download begins in each interval, however many threads there are."""

    def __init__(self, interval_s: float = 0.5, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval, self._clock = interval_s, clock
        self._next = 0.0
        self._lock = threading.Lock()

    def turn(self) -> float:
        """Take the next turn; returns the seconds until it comes."""
        with self._lock:
            now = self._clock()
            begin = max(now, self._next)
            self._next = begin + self._interval
        return begin - now

    def hold(self, seconds: float) -> None:
        """Let nobody begin for a while: a server asked for it."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)


def retry_after(text: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date; None where there is none that makes sense."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
