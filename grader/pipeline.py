"""All stages of one submission, from the hand-in to a result with its pictures."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from evaluator.pack import Pack
from grader import __version__
from grader.course import LabFolder
from grader.downloads import Downloads, Linked, settled
from grader.errors import GraderError, UngradedError
from grader.essay import LAB, Essays, collect
from grader.gallery import pictures
from grader.intake import Handin, Submission, take
from grader.lateness import penalised
from grader.lookalike import Published
from grader.models import Artifact, Provenance, Status, SubmissionResult
from grader.notebook import Notebook
from grader.sandbox import Sandbox
from grader.scratch import scratch
from grader.spec import LabSpec, Task
from grader.task import BUSY, Setting, TaskGrading, grade_task, rejected

SEVERITY = (Status.GRADED, Status.PENDING, Status.FAILED, Status.HELD, Status.UNGRADED)
"""A submission has the status of its worst task."""
NO_TIME = "There was no time left for this task; your instructors have been told."


@dataclass(frozen=True)
class Graded:
    """A result, its pictures by task, and the key under which it is settled."""

    result: SubmissionResult
    artifacts: Mapping[str, tuple[Artifact, ...]]
    key: str

    @property
    def wants_to_be_alone(self) -> bool:
        """Whether a task stayed ungraded since the machine was short of something that other submissions used."""
        return any(problem.code == BUSY for task in self.result.tasks for problem in task.problems)


@dataclass(frozen=True)
class Grader:
    """Grades the submissions of one lab; thread-safe."""

    lab: LabFolder
    templates: Mapping[str, Notebook]
    """by task id"""
    packs: Mapping[str, Pack]
    """by data set"""
    sandbox: Sandbox
    device: str = "cpu"
    published: Published = field(default_factory=Published)
    """what must not be handed in as one's own"""
    downloads: Downloads | None = None
    """without them, tasks whose checkpoint is on the web stay ungraded"""
    progress: Callable[[SubmissionResult, frozenset[str]], None] | None = None
    """told after each task what there would be to report if it were the last, and the ids of the tasks that are not reached yet"""

    @property
    def spec(self) -> LabSpec:
        return self.lab.spec

    def key(self, handin: Handin) -> str:
        """Hash of everything that the result depends on; a submission with the key of a settled result is not graded again."""
        parts = [
            __version__,
            self.spec.sha256,
            self.device,
            handin.student,
            handin.attempt,
            self.sandbox.level,
            _content(handin),
            *handin.remarks,
            self.published.sha256,
            self.downloads.identity(handin) if self.downloads else "",
            *(_file_sha256(self.lab.template(task.notebook)) for task in self.spec.task),
            *(self.packs[task.dataset].sha256 for task in self.spec.task),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def ready(self, handin: Handin) -> Future[None]:
        """A future that is done when everything that a hand-in links to is here, or will not come."""
        return self.downloads.ready(handin) if self.downloads else settled()

    def grade(self, handin: Handin, slot: int, alone: bool = False) -> Graded:
        """Grade one hand-in; whatever is wrong with it, or with us, ends up in the result.

        alone: nothing else is graded meanwhile; see `Graded.wants_to_be_alone`.
        """
        self.ready(handin).result()
        try:
            return self._graded_in_full(handin, slot, alone)
        except Exception as error:
            # What breaks between the tasks is our fault as well: a full disk, a file that the system fails to read.
            reason = UngradedError(_in_words("this hand-in", error))
            gradings = [TaskGrading(rejected(task, reason)) for task in self.spec.task]
            return self._graded(handin, gradings, Essays(), (), key="")  # what is ungraded is tried again, whatever its key

    def _graded_in_full(self, handin: Handin, slot: int, alone: bool) -> Graded:
        linked = self.downloads.of(handin) if self.downloads else Linked()
        key = self.key(handin)
        with scratch(self.lab.root) as folder:
            try:
                submission = take(handin, folder, self.spec)
            except GraderError as error:
                gradings = [TaskGrading(rejected(task, error)) for task in self.spec.task]
                return self._graded(handin, gradings, collect(self.spec.manual, None, {}), (), key)
            essays = collect(self.spec.manual, submission.root, submission.refused)
            warnings = (*submission.warnings, *linked.warnings)
            done: list[TaskGrading] = []
            for task in self.spec.task:
                done.append(self._grade_task(task, submission, slot, alone, linked))
                self._report(handin, done, essays, warnings)
            return self._graded(handin, done, essays, warnings, key)

    def _report(self, handin: Handin, gradings: Sequence[TaskGrading], essays: Essays, warnings: Sequence[str]) -> None:
        """Tell `progress` how far this is."""
        if self.progress is None:
            return
        rest = self.spec.task[len(gradings) :]
        every = [*gradings, *(TaskGrading(rejected(task, UngradedError(NO_TIME))) for task in rest)]
        self.progress(self._result(handin, every, essays, warnings), frozenset(task.id for task in rest))

    def _grade_task(self, task: Task, submission: Submission, slot: int, alone: bool, linked: Linked) -> TaskGrading:
        """Grade one task with its provenance; what fails in it touches no other task."""
        started = datetime.now(UTC)
        pack = self.packs[task.dataset]
        setting = Setting(
            task=task,
            template=self.templates[task.id],
            pack=pack,
            sandbox=self.sandbox,
            secret=self.lab.course.secret,
            device=self.device,
            slot=slot,
            alone=alone,
            fetched=linked.files.get(task.id),
            published=self.published,
        )
        try:
            grading = grade_task(setting, submission)
            if _died(grading):
                grading = grade_task(setting, submission)
        except GraderError as error:
            grading = TaskGrading(rejected(task, error))
        except Exception as error:
            # Whatever breaks here is our fault: it must neither cost the student points nor end the class run.
            reason = UngradedError(_in_words("this task", error))
            grading = TaskGrading(rejected(task, reason))
        provenance = Provenance(
            grader_version=__version__,
            spec_sha256=self.spec.sha256,
            template_sha256=_file_sha256(self.lab.template(task.notebook)),
            notebook_sha256=grading.notebook_sha256,
            checkpoint_sha256=grading.checkpoint_sha256,
            fetch=linked.entries.get(task.id),
            pack=pack.card.name,
            pack_sha256=pack.sha256,
            pack_public=pack.card.public,
            seeds=dict(grading.seeds),
            sandbox_level=self.sandbox.level,
            device=self.device,
            started=started,
            finished=datetime.now(UTC),
        )
        return grading.with_provenance(provenance)

    def _graded(
        self, handin: Handin, gradings: Sequence[TaskGrading], essays: Essays, warnings: Sequence[str], key: str
    ) -> Graded:
        artifacts = {
            grading.result.task: pictures(grading, self.packs[task.dataset], self.lab.reference(task.id))
            for task, grading in zip(self.spec.task, gradings, strict=True)
        }
        result = self._result(handin, gradings, essays, warnings)
        return Graded(result, {**artifacts, LAB: essays.artifacts}, key)

    def _result(
        self, handin: Handin, gradings: Sequence[TaskGrading], essays: Essays, warnings: Sequence[str]
    ) -> SubmissionResult:
        tasks = tuple(grading.result for grading in gradings)
        scores = [task.score for task in tasks]
        result = SubmissionResult(
            lab=self.spec.lab.id,
            lab_title=self.spec.lab.title,
            student=handin.student,
            attempt=handin.attempt,
            status=max((task.status for task in tasks), key=SEVERITY.index),
            score=None if None in scores else round(sum(s for s in scores if s is not None), 6),
            max_score=sum(task.max_score for task in tasks),
            manual_points=sum(row.points for row in (*(row for task in tasks for row in task.manual), *essays.rows)),
            manual=essays.rows,
            essays=essays.essays,
            tasks=tasks,
            warnings=(*handin.remarks, *warnings),
            graded_at=datetime.now(UTC),
        )
        return stated(result, handin)


def _died(grading: TaskGrading) -> bool:
    """Whether a process of the notebook ended, and nobody knows by whose hand.

    The system, or a person, kills it once; what the student wrote kills it in a second run as well.
    """
    return any(problem.code in ("kernel-died", "driver-died") for problem in grading.result.problems)


def stated(result: SubmissionResult, handin: Handin) -> SubmissionResult:
    """The result with what is known without running anything: whose it is, and how late."""
    group = {"group": handin.members, "group_name": handin.student if handin.members else ""}
    return penalised(result.model_copy(update=group), handin.lateness)


def _in_words(what: str, error: Exception) -> str:
    """Why something has no grade, for the student and the instructor."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"the grader's machine failed on {what} ({where}{error.strerror or error}); nothing to do: it will be graded again"
    return f"the grader failed on {what} ({type(error).__name__}: {error}); please report this"


def _content(handin: Handin) -> str:
    """Hash of what was handed in; what cannot be read has none, and grading it will say why."""
    try:
        return handin.sha256()
    except (GraderError, OSError) as error:
        return f"unreadable: {error}"


def _file_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
