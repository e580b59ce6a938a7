"""The zip in which a hand-in travels: made by the container, opened by the service under the rules for what others made."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from grader.errors import GraderError, IntakeError
from grader.gradescope.archive import Entry, write
from grader.gradescope.metadata import Metadata
from grader.service.protocol import FILES, MAX_WHO, WHO, Who
from grader.untrusted import Files, open_export

_MAX_FILE = 2**30


def pack(lab: str, metadata: Metadata, folder: Path, to: Path) -> None:
    """Pack the hand-in in a folder. What is no plain file, such as a link out of the folder, stays behind, as it would be refused anyway.

    Raises:
        OSError: it cannot be written.
        IntakeError, UngradedError: the folder cannot be opened.
    """
    who = Who(lab=lab, metadata=metadata.model_copy(update={"previous_submissions": ()}))
    with open_export(folder) as files:
        write(to, [(WHO, who.model_dump_json().encode(), 0o600), *_files(files)])


def _files(files: Files) -> Iterator[Entry]:
    for name in files.names():
        try:
            for _ in files.chunks(name, _MAX_FILE):
                pass
        except GraderError:
            continue
        yield f"{FILES}{name}", files.chunks(name, _MAX_FILE), 0o600


def read_who(parcel: Path) -> Who:
    """Whose hand-in it is.

    Raises:
        IntakeError: the zip is damaged, unsafe, or does not say; the message says which.
    """
    with open_export(parcel) as files:
        if WHO not in files.names():
            raise IntakeError(f"no {WHO} in the archive; expected it beside {FILES}, see docs/service.md")
        data = b"".join(files.chunks(WHO, MAX_WHO))
    try:
        return Who.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise IntakeError(f"{WHO}: {'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}") from error
