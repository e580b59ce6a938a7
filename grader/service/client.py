"""The container's side: sends a hand-in to the service and waits for its result, until a deadline."""

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
from pydantic import ValidationError

from grader.errors import UngradedError
from grader.gradescope.metadata import Metadata
from grader.models import SubmissionResult
from grader.service.parcel import pack
from grader.service.protocol import PATH, Answer, State

POLL_S = 2.0
_TIMEOUT = (10, 60)
"""Seconds for a connection, and between two pieces of an answer."""
_LATER = (429, 500, 502, 503, 504)
"""Answers after which the same request may succeed."""
_PAUSES = (1.0, 2.0, 5.0, 10.0)


class Client:
    """Talks to one service. deadline: on the monotonic clock; nothing waits beyond it."""

    def __init__(self, url: str, token: str, deadline: float, pause: Callable[[float], None] = time.sleep) -> None:
        self.url, self._deadline, self._pause = url, deadline, pause
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy or netrc of the container's gets the token
        self._session.headers["Authorization"] = f"Bearer {token}"

    def grade(self, lab: str, metadata: Metadata, folder: Path) -> SubmissionResult:
        """Send what lies in the folder, and wait for the result.

        Raises:
            UngradedError: the service refused it, could not grade it, or did not answer in time; running the autograder again asks for the
                same grading, and finds it done where it was merely slow.
        """
        with tempfile.TemporaryDirectory() as scratch:
            parcel = Path(scratch, "handin.zip")
            pack(lab, metadata, folder, parcel)
            answer = self._send(parcel)
        print(f"forwarded to {self.url} as {answer.id[:12]}, {answer.ahead} ahead", flush=True)
        while answer.state in (State.QUEUED, State.RUNNING):
            self._wait(POLL_S, f"the grader at {self.url} had not graded it ({answer.state}, {answer.ahead} ahead)")
            answer = self._ask("GET", f"{PATH}/{answer.id}")
        if answer.state is State.UNGRADED or answer.result is None:
            raise UngradedError(f"the grader at {self.url} could not grade it: {answer.message}")
        return answer.result

    def _send(self, parcel: Path) -> Answer:
        def body() -> Any:
            return parcel.open("rb")

        return self._ask("POST", PATH, body)

    def _ask(self, method: str, path: str, body: Callable[[], Any] | None = None) -> Answer:
        """An answer, asked for again after faults that may pass."""
        tried = 0
        while True:
            fault, wait_s = "", 0.0
            try:
                answer = self._once(method, path, body)
                if answer.status_code not in _LATER:
                    return self._read(answer)
                fault = f"answered {answer.status_code}: {_said(answer)}"
                with suppress(ValueError):
                    wait_s = float(answer.headers.get("Retry-After", ""))
            except requests.RequestException as error:
                fault = f"cannot be reached ({type(error).__name__})"
            self._wait(wait_s or _PAUSES[min(tried, len(_PAUSES) - 1)], f"the grader at {self.url} {fault}")
            tried += 1

    def _once(self, method: str, path: str, body: Callable[[], Any] | None) -> requests.Response:
        opened = body() if body else None
        try:
            return self._session.request(method, self.url + path, data=opened, timeout=_TIMEOUT, allow_redirects=False)
        finally:
            if opened:
                opened.close()

    def _read(self, answer: requests.Response) -> Answer:
        if answer.status_code not in (200, 202):
            raise UngradedError(f"the grader at {self.url} refused it ({answer.status_code}): {_said(answer)}")
        try:
            return Answer.model_validate_json(answer.content)
        except ValidationError as error:
            raise UngradedError(
                f"the grader at {self.url} gave an answer that cannot be read; it and the zip must be of one version: build the zip again"
            ) from error

    def _wait(self, seconds: float, why: str) -> None:
        """Pause, unless the deadline would pass meanwhile."""
        if time.monotonic() + seconds > self._deadline:
            raise UngradedError(f"{why} when the time was nearly used up; run the autograder again: it goes on from there")
        self._pause(seconds)


def _said(answer: requests.Response) -> str:
    """What a refusal says, if it is one of the service's own."""
    try:
        return str(answer.json()["message"])[:300]
    except (requests.JSONDecodeError, KeyError, TypeError):
        return answer.reason or "no reason given"
