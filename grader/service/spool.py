"""Where hand-ins lie that came over the network, each under the hash of its bytes."""

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.exceptions import HTTPException

from grader.errors import IntakeError
from grader.service.parcel import read_who

_PREFIX = ".part-"


class Spool:
    """A folder in the lab folder; made where it is missing, cleared of what arrived in part."""

    def __init__(self, folder: Path, lab: str, max_bytes: int, body_s: float) -> None:
        self._folder, self._lab, self._max, self._body_s = folder, lab, max_bytes, body_s
        folder.mkdir(mode=0o700, exist_ok=True)
        for left in folder.glob(f"{_PREFIX}*"):
            left.unlink()

    def path(self, job: str) -> Path:
        """The file of a hand-in."""
        return self._folder / f"{job}.zip"

    def expect_fitting(self, length: str | None) -> None:
        """Refuse a body that says itself that it is too large, before any of it comes."""
        if length is not None and length.isdigit() and int(length) > self._max:
            raise self._too_large()

    async def receive(self, body: AsyncIterator[bytes]) -> str:
        """Keep a body; the id of the hand-in.

        Raises:
            HTTPException: it is too large, too slow, or no hand-in of this lab.
        """
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=_PREFIX) as part:
            job = await self._write(body, Path(part.name))
            await asyncio.to_thread(self._expect_ours, Path(part.name))
            await asyncio.to_thread(_keep, Path(part.name), self.path(job))
        return job

    async def _write(self, body: AsyncIterator[bytes], to: Path) -> str:
        digest, size = hashlib.sha256(), 0
        try:
            async with asyncio.timeout(self._body_s):
                with to.open("wb") as file:
                    async for chunk in body:
                        size += len(chunk)
                        if size > self._max:
                            raise self._too_large()
                        digest.update(chunk)
                        file.write(chunk)
        except TimeoutError as error:
            raise HTTPException(408, f"the hand-in had not arrived after {self._body_s:g} s; send it again") from error
        return digest.hexdigest()

    def _expect_ours(self, parcel: Path) -> None:
        try:
            who = read_who(parcel)
        except IntakeError as error:
            raise HTTPException(422, f"this is no hand-in: {error}") from error
        if who.lab != self._lab:
            raise HTTPException(422, f"this is a hand-in of {who.lab}, and {self._lab} is graded here; check forward_url")

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"the hand-in has more than {self._max // 2**20} MiB; raise service.max_mb in course.toml")


def _keep(part: Path, target: Path) -> None:
    """Give the file its name for good, when all of it is on the disk: the queue will promise that it is there."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):  # the same hand-in came twice at once
        target.hardlink_to(part)
