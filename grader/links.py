"""From a task's checkpoint link to the file, in the submission or fetched, checked by its first and last bytes, never loaded here."""

import errno
import os
import urllib.parse
from pathlib import Path

from grader.errors import CheckpointError, GraderError, UngradedError
from grader.intake import CHECKPOINTS, LINKS, Submission
from grader.link_list import inside, is_web
from grader.spec import Task

_TORCH_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80\x02"
_ZIP_END = b"PK\x05\x06"
_LONGEST_TAIL = 2**16 + 22
"""Bytes in which the end record of a zip archive lies."""
NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV, errno.ENAMETOOLONG)
"""What a link to nothing, or to no plain file, gives; every other error of the system is not the student's."""


def checkpoint(submission: Submission, task: Task, *, trust: bool = False, fetched: Path | GraderError | None = None) -> Path:
    """The checkpoint of a task: where checkpoint_links.txt says, else the one checkpoint beside the notebook.

    trust: also take absolute paths and `file:` links (submissions that the grader's own user wrote).
    fetched: what came of the task's link, where it leads to the web: the file, or why there is none.

    Raises:
        CheckpointError: there is none, or what is there is no checkpoint.
        UngradedError: it could not be fetched for a reason that is not the student's.
    """
    link = submission.links.get(task.id)
    if link and is_web(link):
        path = _expect_fetched(link, fetched)
        diagnose(path, task.limits.checkpoint_mb * 2**20, f"the file at {link[:200]}")
        return path
    path = _linked(submission, link, trust) if link else _beside(submission, task)
    diagnose(path, task.limits.checkpoint_mb * 2**20, path.name)
    return path


def _expect_fetched(link: str, fetched: Path | GraderError | None) -> Path:
    if fetched is None:
        raise UngradedError(f"{link[:200]}: links to the web are fetched by `grader run` and `grader fetch` alone")
    if isinstance(fetched, GraderError):
        raise fetched
    if not fetched.is_file():
        raise UngradedError(f"{fetched} is gone since the run began; it is fetched again by the next run")
    return fetched


def _linked(submission: Submission, link: str, trust: bool) -> Path:
    name = inside(link)
    if name is None and trust:
        return submission.root / urllib.parse.unquote(link.removeprefix("file:").removeprefix("//"))
    if name is None:
        raise CheckpointError(
            f"the link {link[:200]!r} leads out of the hand-in; expected the name of a file in it, such as handin.pt: "
            f"put the checkpoint beside the notebook and write its name into {LINKS}"
        )
    path = submission.root / name
    if not path.is_file():
        why = submission.refused.get(name, f"{name!r} is not in the hand-in")
        raise CheckpointError(f"{LINKS} names {name!r}, but {why}; put the generator's checkpoint there")
    return path


def _beside(submission: Submission, task: Task) -> Path:
    """The checkpoint that lies at the top of the hand-in; for one task of several only under the task's own name."""
    stem = Path(task.notebook).stem
    alone = len(submission.notebooks) == 1
    found = sorted(p for p in submission.root.iterdir() if p.name.lower().endswith(CHECKPOINTS) and p.is_file())
    names = [f"{stem}.pt", f"{task.id}.pt", *(["handin.pt"] if alone else [])]
    named = next((path for name in names for path in found if path.name == name), None)
    if named or (alone and len(found) == 1):
        return named or found[0]
    if alone and found:
        raise CheckpointError(
            f"there are {len(found)} checkpoints ({', '.join(p.name for p in found)}) and {LINKS} names none: write "
            f"`{task.id}: handin.pt`, with the right name, into it"
        )
    refused = next((why for name, why in submission.refused.items() if name.lower().endswith(CHECKPOINTS)), None)
    raise CheckpointError(
        refused
        or f"there is no checkpoint: {LINKS} has no line for task {task.id}, and there is no {names[-1]} in the hand-in; put the "
        "file that the notebook wrote beside it"
    )


def diagnose(path: Path, limit: int, what: str) -> None:
    """Do nothing if torch may be able to load the file, judged by its size and its first and last bytes.

    limit: most bytes. what: the file, in words.

    Raises:
        CheckpointError: it is too large, or something else.
        UngradedError: the system fails to read it.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(1024)
            file.seek(max(0, size - _LONGEST_TAIL))
            end = file.read(_LONGEST_TAIL)
    except OSError as error:
        if error.errno not in NO_FILE:
            raise UngradedError(f"{what} cannot be read ({error.strerror}); free some space, or check the disk") from error
        raise CheckpointError(f"{what} cannot be opened ({error.strerror}); expected a file written by torch.save") from error
    if size > limit:
        raise CheckpointError(
            f"{what} has {size / 2**20:.1f} MB, more than {limit / 2**20:.0f} MB: hand in handin.pt (the generator "
            "alone), not resume.pt"
        )
    if found := _not_a_checkpoint(start):
        raise CheckpointError(
            f"{what} is {found}; expected a file written by torch.save: hand in the notebook's handin.pt itself"
        )
    if start.startswith(_TORCH_ZIP) and _ZIP_END not in end:
        raise CheckpointError(
            f"{what} is the beginning of a checkpoint ({size:,} bytes): an upload or download was cut off; upload handin.pt once more, "
            "and compare its size"
        )


def _not_a_checkpoint(start: bytes) -> str | None:
    """What the file is, judged by its first bytes; None if torch may be able to load it."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not start:
        return "empty (0 bytes)"
    if start.startswith(_TORCH_ZIP):
        name = start[30 : 30 + int.from_bytes(start[26:28], "little")]
        return None if b"/" in name else "a zip archive, not a checkpoint"  # torch's entries are <name>/data.pkl and so on
    if start.startswith(_PICKLE):
        return None
    if text.startswith(b"<"):
        return "an HTML page: the page around a shared file was saved, or a login page"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 100 * 2**20:
        return "a safetensors file"
    if text.startswith(b"{"):
        return "a JSON file or notebook"
    return "not a file of PyTorch"
