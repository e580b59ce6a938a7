"""Copy out of a hand-in what the lab asks for."""

import fnmatch
import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from grader.errors import GraderError, IntakeError, UngradedError
from grader.essay import essay_files
from grader.link_list import inside, parse_links
from grader.models import Lateness, Problem
from grader.notebook import MAX_BYTES as MAX_NOTEBOOK
from grader.spec import LabSpec
from grader.untrusted import Files, open_files, open_part

LINKS = "checkpoint_links.txt"
CHECKPOINTS = (".pt", ".pth", ".ckpt", ".safetensors")
MAX_LINKS = 64 * 2**10
MAX_OTHER = 50 * 2**20
"""Bytes of any other file that lab.toml names, such as the essay."""
MAX_FILES = 32
MAX_HASHED = 2**30

LINKS_LIKE = re.compile(r"(?i)checkpoint[ _-]?links?(\.txt)*")
"""Names that are plainly meant to be LINKS."""


@dataclass(frozen=True)
class Handin:
    """What a student or group handed in: a folder, a zip archive, or a part of an export.

    student: fit as a folder's name; name: as found; attempts: all of them, oldest first; attempt: the one that this is.
    """

    student: str
    name: str
    attempt: str
    path: Path
    attempts: tuple[str, ...]
    part: tuple[tuple[str, str], ...] | None = None
    """of an export: pairs of a name in the hand-in and the name in the export"""
    members: tuple[str, ...] = ()
    """of a group: ids of the students in it"""
    lateness: Lateness | None = None
    remarks: tuple[str, ...] = ()
    """what the student should know of how the hand-in was found"""

    @contextmanager
    def open(self) -> Iterator[Files]:
        """The files of the hand-in.

        Raises:
            IntakeError, UngradedError: as `open_files`.
        """
        with open_files(self.path) if self.part is None else open_part(self.path, dict(self.part)) as files:
            yield files

    def sha256(self) -> str:
        """Hash over the names and contents of all files, to see whether anything changed; bad content is hashed as such.

        Raises:
            UngradedError: a file cannot be read for a reason that is not the student's.
        """
        digest = hashlib.sha256()
        try:
            with self.open() as files:
                for name in files.names():
                    digest.update(f"\0{name}\0".encode())
                    try:
                        for chunk in files.chunks(name, MAX_HASHED):
                            digest.update(chunk)
                    except IntakeError as error:
                        digest.update(str(error).encode())
        except IntakeError as error:
            digest.update(str(error).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Submission:
    """A hand-in, copied to `root`: clean names, plain files, nothing that the lab does not ask for.

    notebooks: task id -> its notebook, or why there is none, in lab.toml's order. links: task id -> checkpoint link.
    refused: file name -> why it was not copied. sha256: over names and contents of what was taken.
    """

    student: str
    attempt: str
    root: Path
    notebooks: Mapping[str, Path | Problem]
    links: Mapping[str, str]
    refused: Mapping[str, str]
    warnings: tuple[str, ...]
    sha256: str

    def notebook(self, task: str) -> Path:
        """The notebook of a task.

        Raises:
            IntakeError: the hand-in has none that can be used.
        """
        found = self.notebooks[task]
        if isinstance(found, Problem):
            raise IntakeError(f"{found.message}: {found.advice}" if found.advice else found.message)
        return found


def take(handin: Handin, into: Path, spec: LabSpec) -> Submission:
    """Copy what the lab asks for to the folder `into`, which is new or empty.

    That is notebooks, the list of links, checkpoints, and the files that lab.toml names. A file that cannot be taken costs
    what depends on it, no more.

    Raises:
        IntakeError: nothing can be taken: a bad archive, a link instead of a folder.
        UngradedError: the files cannot be read or written for a reason that is not the student's.
    """
    with handin.open() as files:
        base = _base(files.names())
        names = [name.removeprefix(base) for name in files.names() if name.startswith(base)]
        copier = _Copier(files, base, _made(into))
        warnings: list[str] = []
        notebooks: dict[str, Path | Problem] = {}
        for task in spec.task:
            name, remark = _choose_notebook(task.notebook, names, alone=len(spec.task) == 1)
            warnings += [remark] if remark and name else []
            notebooks[task.id] = copier.notebook(name, task.notebook) if name else _no_notebook(task.notebook, remark, names)
        links, remarks = _take_links(copier.read, names, spec)
        _take_checkpoints(copier, names, links, spec)
        for name in names:
            if "/" not in name and any(fnmatch.fnmatchcase(name, pattern) for pattern in spec.lab.files):
                copier.copy(name, name, MAX_OTHER)
        for essay in spec.manual:
            for name in essay_files(essay.file, names):
                copier.copy(name, name, MAX_OTHER)
    others = tuple(f"{name} was left out: {why}" for name, why in copier.refused.items())
    warnings += [*remarks, *others]
    return Submission(
        handin.student, handin.attempt, into, notebooks, links, dict(copier.refused), tuple(warnings), copier.digest.hexdigest()
    )


def links_of(handin: Handin, spec: LabSpec) -> Mapping[str, str]:
    """Task -> checkpoint link, as in the submission that `take` would make; none where the hand-in cannot be read."""
    with suppress(GraderError, OSError), handin.open() as files:
        base = _base(files.names())
        names = [name.removeprefix(base) for name in files.names() if name.startswith(base)]
        return _take_links(lambda name, limit: b"".join(files.chunks(base + name, limit)), names, spec)[0]
    return {}


def student_id(name: str) -> str:
    """The name as one that is safe as a folder's on any system, and still readable."""
    text = unicodedata.normalize("NFC", name.encode(errors="replace").decode())
    text = re.sub(r"[^\w.@+-]+", "_", text).strip("._-")
    while len(text.encode()) > 100:
        text = text[:-1]
    return text or "student"


class _Copier:
    """Copies files to the submission's folder, each once, and keeps the hash and what was refused."""

    def __init__(self, files: Files, base: str, root: Path) -> None:
        self.refused: dict[str, str] = {}
        self.digest = hashlib.sha256()
        self._files, self._base, self._root = files, base, root
        self._done: set[str] = set()

    def copy(self, name: str, target: str, limit: int) -> Path | None:
        """The copy of a file; None, with an entry in `refused`, where it cannot be taken."""
        path = self._root / target
        if target in self._done:
            return path
        if len(self._done) >= MAX_FILES:
            self.refused[name] = f"more than {MAX_FILES} files"
            return None
        self.digest.update(f"\0{target}\0".encode())
        try:
            self._write(path, self._files.chunks(self._base + name, limit))
        except IntakeError as error:
            path.unlink(missing_ok=True)
            self.refused[name] = str(error)
            self.digest.update(str(error).encode())
            return None
        except OSError as error:
            raise UngradedError(f"{name!r} cannot be copied to {self._root} ({error.strerror}); free some space") from error
        self._done.add(target)
        return path

    def read(self, name: str, limit: int) -> bytes | None:
        """The contents of a copied file; None where it cannot be taken."""
        path = self.copy(name, name, limit)
        return path.read_bytes() if path else None

    def notebook(self, name: str, target: str) -> Path | Problem:
        path = self.copy(name, target, MAX_NOTEBOOK)
        if path:
            return path
        advice = "Clear the outputs (Edit → Clear all outputs), save the notebook, and hand in that file."
        return Problem(code="bad-notebook", message=self.refused[name], advice=advice)

    def _write(self, path: Path, chunks: Iterator[bytes]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o644), "wb") as file:
            for chunk in chunks:
                self.digest.update(chunk)
                file.write(chunk)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UngradedError(f"{folder} cannot be made ({error.strerror}); free some space or check permissions") from error
    return folder


def _base(names: Sequence[str]) -> str:
    """The one folder (with `/`) that holds the notebooks, such as archives have; empty where they lie at the top or in several."""
    folders = {str(PurePosixPath(name).parent) for name in names if name.lower().endswith(".ipynb")}
    shallowest = min((folder.count("/") for folder in folders), default=0)
    highest = [folder for folder in folders if folder.count("/") == shallowest]
    return f"{highest[0]}/" if len(highest) == 1 and "." not in folders else ""


def _choose_notebook(wanted: str, names: Sequence[str], *, alone: bool) -> tuple[str | None, str | None]:
    """(name, remark): the notebook for `wanted`, by its exact name, else as Colab and upload forms rename it.

    No name: there is none, or (with a remark) several that it could be. alone: the lab has no other notebook.
    """
    notebooks = [name for name in names if "/" not in name and name.lower().endswith(".ipynb")]
    if wanted in notebooks:
        return wanted, None
    stem = re.escape(PurePosixPath(wanted).stem.casefold()).replace("_", "[ _-]")
    renamed = [name for name in notebooks if re.search(rf"(?<![^\W_]){stem}(?![^\W_])", name.casefold())]
    if not renamed and alone and len(notebooks) == 1:
        renamed = notebooks
    if len(renamed) == 1:
        return renamed[0], f"{renamed[0]} was taken for {wanted}; please keep the name"
    if renamed:
        return None, f"{' and '.join(renamed)} could each be {wanted}"
    return None, None


def _no_notebook(wanted: str, remark: str | None, names: Sequence[str]) -> Problem:
    if remark:
        advice = f"Hand in one of them, with the name {wanted}."
        return Problem(code="ambiguous-notebook", message=remark, advice=advice)
    found = ", ".join(name for name in names if "/" not in name)[:300] or "nothing"
    return Problem(
        code="missing-notebook",
        message=f"{wanted} is not in the hand-in, which holds {found}",
        advice=f"Put {wanted} at the top of the folder or archive that you hand in.",
    )


def _take_links(
    read: Callable[[str, int], bytes | None], names: Sequence[str], spec: LabSpec
) -> tuple[dict[str, str], tuple[str, ...]]:
    """(task -> link, warnings) from checkpoint_links.txt or what is plainly meant to be it."""
    candidates = [name for name in names if LINKS_LIKE.fullmatch(name)]
    if not candidates:
        return {}, ()
    name = LINKS if LINKS in candidates else candidates[0]
    data = read(name, MAX_LINKS)
    links, warnings = parse_links(data, {task.id: task.notebook for task in spec.task}) if data is not None else ({}, ())
    return links, warnings if name == LINKS else (f"{name} was taken for {LINKS}", *warnings)


def _take_checkpoints(copier: _Copier, names: Sequence[str], links: Mapping[str, str], spec: LabSpec) -> None:
    """Copy the files that links lead to, and checkpoints at the top of the hand-in."""
    limits = {task.id: task.limits.checkpoint_mb * 2**20 for task in spec.task}
    for task, link in links.items():
        if name := inside(link):
            copier.copy(name, name, limits[task])
    if set(links) >= set(limits):
        return
    for name in names:
        if "/" not in name and name.lower().endswith(CHECKPOINTS) and not name.lower().startswith("resume"):
            copier.copy(name, name, max(limits.values()))
