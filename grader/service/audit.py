"""The audit log: a line of JSON for each request, and for each hand-in that was graded; appended, for the course's owner alone."""

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path


class Audit:
    """Appends to a file.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def note(self, event: str, **facts: object) -> None:
        """Append a line. Never a token, nor what a student wrote."""
        line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts}) + "\n"
        with self._lock:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(line)
