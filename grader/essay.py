"""Essays: texts that are handed in as files, collected for a person to read and grade."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from grader.link_list import decode
from grader.models import Artifact, CriterionResult, Essay, Status
from grader.spec import EssayCriterion

KINDS = (".pdf", ".md", ".txt")
MAX_TEXT = 100_000
"""Characters of a text that are kept."""
LAB = ""
"""The artifacts of the lab as a whole are kept under this name, where those of a task have the task's."""


@dataclass(frozen=True)
class Essays:
    """What was handed in: a row of the rubric for each essay that the lab asks for, the essays, and the PDFs among them."""

    rows: tuple[CriterionResult, ...] = ()
    essays: tuple[Essay, ...] = ()
    artifacts: tuple[Artifact, ...] = ()


def essay_files(pattern: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names, at the top of a hand-in, that are meant by a pattern such as `reflection.*`; renamed ones where no other is."""
    top = [name for name in names if "/" not in name]
    exact = [name for name in top if fnmatch.fnmatchcase(name.casefold(), pattern.casefold())]
    stem = re.escape(PurePosixPath(pattern).stem.casefold())
    renamed = [n for n in top if re.search(rf"(?<![^\W_]){stem}(?![^\W_])", n.casefold()) and n.lower().endswith(KINDS)]
    return tuple(exact or renamed)


def collect(criteria: Sequence[EssayCriterion], root: Path | None, refused: Mapping[str, str]) -> Essays:
    """Read what was copied to `root`; None where the hand-in could not be read. refused: name -> why it was not copied."""
    each = [_collect_one(criterion, root, refused) for criterion in criteria]
    return Essays(
        tuple(row for one in each for row in one.rows),
        tuple(essay for one in each for essay in one.essays),
        tuple(artifact for one in each for artifact in one.artifacts),
    )


def _collect_one(criterion: EssayCriterion, root: Path | None, refused: Mapping[str, str]) -> Essays:
    names = sorted(path.name for path in root.iterdir() if path.is_file()) if root else []
    read = [_read(root / name, criterion, n) for n, name in enumerate(essay_files(criterion.file, names), 1)] if root else []
    remarks = [f"{name}: {refused[name]}" for name in essay_files(criterion.file, tuple(refused))]
    remarks += [one.remark for one in read if one.remark]
    if not read and not remarks:
        remarks = [f"nothing was handed in; expected {_expected(criterion)}" if root else "the hand-in could not be read"]
    row = CriterionResult(
        name=criterion.name,
        title=criterion.title,
        kind="manual",
        status=Status.PENDING,
        points=criterion.points,
        message="; ".join(remarks),
    )
    return Essays((row,), tuple(r.essay for r in read if r.essay), tuple(r.artifact for r in read if r.artifact))


@dataclass(frozen=True)
class _Read:
    """What a file gave. remark: what a person should know of it."""

    essay: Essay | None = None
    artifact: Artifact | None = None
    remark: str = ""


def _read(path: Path, criterion: EssayCriterion, number: int) -> _Read:
    """The essay in a file, the number-th of its row; of a PDF nothing but its first bytes is looked at."""
    kind = path.suffix.lower()
    data = path.read_bytes() if kind in KINDS else b""
    if kind not in KINDS:
        return _Read(remark=f"{path.name} is not of a kind that can be shown; ask for {_expected(criterion)}")
    if kind != ".pdf":
        text = decode(data)
        cut = f"{path.name} is long: its first {MAX_TEXT:,} characters are shown" if len(text) > MAX_TEXT else ""
        return _Read(Essay(question=criterion.name, file=path.name, text=text[:MAX_TEXT]), remark=cut)
    if not data.startswith(b"%PDF-"):
        return _Read(remark=f"{path.name} is no PDF file (it does not begin with %PDF-); ask for it again")
    name = f"{criterion.name}-{number}.pdf" if number > 1 else f"{criterion.name}.pdf"
    artifact = Artifact(name=name, media_type="application/pdf", data=data, caption=path.name)
    return _Read(Essay(question=criterion.name, file=path.name, artifact=artifact.name), artifact)


def _expected(criterion: EssayCriterion) -> str:
    """The names of the file that can be taken, in words."""
    return f"{criterion.name}.pdf, .md or .txt" if criterion.file.endswith(".*") else criterion.file
