"""Fetchers that never sleep."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field

from grader.fetching.fetcher import Fetcher, Received
from grader.fetching.hosts import LinkSettings, allowed_hosts
from grader.fetching.network import Line, Network
from grader.fetching.pace import Pace, Patience

MB = 2**20
NAMES = ("drive.google.com", "docs.google.com", "drive.usercontent.google.com")


@dataclass
class Client:
    """A fetcher with what it kept and how long it would have slept."""

    fetcher: Fetcher
    naps: list[float] = field(default_factory=list)
    into: io.BytesIO = field(default_factory=io.BytesIO)

    def fetch(self, link: str, limit: int = MB) -> Received:
        return self.fetcher.fetch(link, limit, self.into)

    @property
    def data(self) -> bytes:
        return self.into.getvalue()

    @property
    def pauses(self) -> list[float]:
        """The waits that were more than nothing."""
        return [nap for nap in self.naps if nap > 0]


def client_of(
    settings: LinkSettings,
    network: Network | None = None,
    *,
    sleep: Callable[[Line, float], None] | None = None,
    **patience: float,
) -> Client:
    naps: list[float] = []
    waits = {"connect_s": 5.0, "read_s": 5.0, **patience}
    fetcher = Fetcher(
        allowed_hosts(settings),
        network=network,
        patience=Patience(**waits),  # type: ignore[arg-type]
        pace=Pace(0),
        sleep=sleep or (lambda line, seconds: naps.append(seconds)),
    )
    return Client(fetcher, naps)
