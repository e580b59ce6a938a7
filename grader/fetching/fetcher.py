"""One file from the web: redirects checked hop by hop, sizes counted, failures tried again, a time limit that holds."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit

import requests
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from grader.errors import CheckpointError, UngradedError
from grader.fetching import answers, drive
from grader.fetching.answers import TransientError
from grader.fetching.hosts import Hosts
from grader.fetching.network import Gate, Line, Network, open_session
from grader.fetching.pace import Pace, Patience

MAX_HOPS = 10
"""Redirects and pages to confirm on the way to a file."""

Sleep = Callable[[Line, float], None]


@dataclass(frozen=True)
class Received:
    """A file that came: hash and size of its contents, and the host that sent it."""

    sha256: str
    size: int
    host: str


class Fetcher:
    """Fetches files from allowed hosts; thread-safe.

    sleep: how to wait; tests do not.
    """

    def __init__(
        self,
        hosts: Hosts,
        *,
        network: Network | None = None,
        patience: Patience | None = None,
        pace: Pace | None = None,
        sleep: Sleep = Line.wait,
    ) -> None:
        self._hosts, self._network, self._sleep = hosts, network or Network(), sleep
        self._patience, self._pace = patience or Patience(), pace or Pace()
        self._lines: set[Line] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def fetch(self, link: str, limit: int, into: BinaryIO) -> Received:
        """Write the file at a share link to `into`, which may hold something else after an error.

        limit: most bytes.

        Raises:
            CheckpointError: the link, its sharing or the file is at fault.
            UngradedError: the network or a server is, and stayed so; or the time is up.
        """
        url = drive.download_address(link)
        self._hosts.expect_listed(url)
        with self._line() as line, closing(open_session(Gate(self._hosts, self._network, line))) as session:
            attempt = 1
            while True:
                self._sleep(line, self._pace.turn())
                try:
                    return self._attempt(session, line, url, limit, into)
                except (TransientError, OSError) as error:  # all errors of requests are OSErrors
                    self._wait(line, attempt, _translated(error))
                attempt += 1

    def stop(self) -> None:
        """End all downloads, those to come included; each raises UngradedError."""
        with self._lock:
            self._stopped = True
            lines = list(self._lines)
        for line in lines:
            line.cut()

    @contextmanager
    def _line(self) -> Iterator[Line]:
        """The connections of a download, cut when its time is up."""
        line = Line()
        alarm = threading.Timer(self._patience.total_s, line.cut)
        alarm.daemon = True
        with self._lock:
            self._lines.add(line)
        if self._stopped:
            line.cut()
        alarm.start()
        try:
            yield line
        finally:
            alarm.cancel()
            with self._lock:
                self._lines.discard(line)

    def _wait(self, line: Line, attempt: int, error: TransientError) -> None:
        """Wait for the next attempt.

        Raises:
            UngradedError: there will be none.
        """
        pause = self._patience.pause(attempt, error.after_s)
        if self._stopped:
            raise UngradedError("the run ended before the file was fetched") from error
        if line.is_cut:
            raise UngradedError(
                f"the file did not arrive within {self._patience.total_s:g} s; a slow server or network"
            ) from error
        if attempt == self._patience.attempts:
            raise UngradedError(f"{error}; tried {attempt} times") from error
        if pause > self._patience.longest_pause_s:
            raise UngradedError(f"{error}, and asks to be left alone for {pause:.0f} s") from error
        if error.after_s is not None:
            self._pace.hold(error.after_s)
        self._sleep(line, pause)

    def _attempt(self, session: requests.Session, line: Line, url: str, limit: int, into: BinaryIO) -> Received:
        with closing(self._answer(session, url)) as response:
            if (announced := answers.announced_size(response) or 0) > limit:
                raise _too_large(announced, limit)
            _rewind(into)
            digest, size = hashlib.sha256(), 0
            for chunk in answers.body(response):
                size += len(chunk)
                if size > limit:
                    raise _too_large(size, limit)
                digest.update(chunk)
                _write(into, chunk)
            if line.is_cut:  # where no size was announced, a cut looks like the end
                raise TransientError("the connection was cut")
            return Received(digest.hexdigest(), size, urlsplit(response.url).hostname or "")

    def _answer(self, session: requests.Session, url: str) -> requests.Response:
        """The answer that holds the file, after redirects and pages to confirm, each checked before it is followed."""
        timeout = (self._patience.connect_s, self._patience.read_s)
        for _ in range(MAX_HOPS):
            self._hosts.expect_listed(url)
            response = session.get(url, stream=True, allow_redirects=False, timeout=timeout)
            with ExitStack() as stack:
                stack.callback(response.close)
                following = answers.redirect(response)
                if following is None:
                    answers.expect_success(response)
                    if not answers.is_page(response):
                        stack.pop_all()
                        return response
                    following = drive.next_address(answers.page_text(response), response.url)
            url = following
        raise CheckpointError(f"the link was redirected {MAX_HOPS} times without leading to a file; share the file once more")


def _translated(error: Exception) -> TransientError:
    """An error of the connection in words."""
    if isinstance(error, TransientError):
        return error
    if isinstance(error, InvalidURL | InvalidSchema | MissingSchema):
        raise CheckpointError(f"the link cannot be read ({error}); copy the share link once more") from error
    host = urlsplit(str(getattr(getattr(error, "request", None), "url", ""))).hostname or "the server"
    reason = next((text for kind, text in _REASONS if _is_about(error, kind)), f"the connection failed ({type(error).__name__})")
    return TransientError(f"{host}: {reason}")


_REASONS = (
    (NameResolutionError, "its address cannot be found; is there a network?"),
    (SSLError, "its certificate cannot be verified"),
    (NewConnectionError, "it cannot be reached"),
    (ConnectTimeoutError, "it cannot be reached in time"),
    (ReadTimeoutError, "it fell silent"),
    (ProtocolError, "the transfer was cut off"),
)


def _is_about(error: BaseException, kind: type[BaseException]) -> bool:
    """Whether an error is, or was made from, one of a kind: requests wraps what urllib3 raises."""
    inner = [e for e in (*error.args, getattr(error, "reason", None), error.__cause__) if isinstance(e, BaseException)]
    return isinstance(error, kind) or any(_is_about(e, kind) for e in inner if e is not error)


def _too_large(size: int, limit: int) -> CheckpointError:
    return CheckpointError(
        f"the file at the link has {size / 2**20:.1f} MB or more, and {limit / 2**20:g} MB are allowed: hand in handin.pt (the generator "
        "alone), not resume.pt"
    )


def _rewind(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()


def _write(file: BinaryIO, data: bytes) -> None:
    try:
        file.write(data)
    except OSError as error:
        raise UngradedError(f"the file cannot be kept ({error.strerror}); free some space") from error
