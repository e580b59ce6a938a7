"""`grader run`: everything new in a lab folder, graded, stored and reported."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from grader import packs
from grader.course import LabFolder, open_lab
from grader.discovery import discover, rules_of
from grader.display import Display, count_line
from grader.downloads import open_downloads
from grader.engines import local
from grader.errors import CourseError, NotebookError, SandboxError, UsageError
from grader.faults import disk_faults
from grader.intake import Handin
from grader.lookalike import load_fingerprints
from grader.measure import expect_fitting, expect_measurable
from grader.members import by_person, for_members, owner
from grader.models import Status, SubmissionResult
from grader.notebook import Notebook, parse
from grader.pipeline import Graded, Grader, stated
from grader.reports.write import is_written, write_class, write_submission
from grader.rescue import open_sound, open_store
from grader.sandbox import Sandbox, choose
from grader.sandbox.gpu import visible
from grader.scratch import clear
from grader.spec import Task
from grader.store import Store

THUMBNAIL = "thumbnail.png"


@dataclass(frozen=True)
class Selection:
    """Which submissions to grade: by default those that are new, changed or not settled."""

    only: frozenset[str] = frozenset()
    failed: bool = False
    force: bool = False


@dataclass(frozen=True)
class Summary:
    """What a run left: all results in force, and those that are not settled."""

    results: tuple[SubmissionResult, ...]
    graded_now: int
    index: Path

    @property
    def ungraded(self) -> list[str]:
        """`student: reason` of every submission that stays ungraded."""
        return [f"{r.student}: {_reason(r)}" for r in self.results if r.status == Status.UNGRADED]

    @property
    def report(self) -> str:
        """Where the class report is."""
        return f"{count_line(list(self.results))} · report: {self.index}"


def _reason(result: SubmissionResult) -> str:
    return next((problem.message for problem in result.problems), "no reason recorded")


def grade_class(
    folder: Path,
    selection: Selection,
    display: Display,
    *,
    workers: int,
    device: str,
    trust: bool,
    allow_reduced: bool = False,
) -> Summary:
    """Grade what the selection names, a transaction and a set of reports for each submission as it is done.

    trust: without a sandbox. allow_reduced: also in one of level reduced, where there is no better one.
    A fault of the machine ends the run, and what was stored by then stays; it never becomes a student's failure.

    Raises:
        UsageError: the lab folder, a template, a pack or the selection is wrong.
        StoreError: the database or the reports cannot be written, or another run is at work.
        UngradedError: no sandbox can be had.
    """
    with disk_faults(folder):
        lab = open_lab(folder)
        for task in lab.spec.task:
            expect_measurable(task)
        handins = chosen(lab, selection.only)
        expect_device(device)
        alone = len(chosen(lab, frozenset()) if selection.only else handins) == 1
        choice = choose(trust, allow_reduced=allow_reduced, private=lab.course.private_files(), alone=alone)
        return _grade_all(make_grader(lab, choice.sandbox, device), choice.holes, handins, selection, display, workers)


def make_grader(lab: LabFolder, sandbox: Sandbox, device: str) -> Grader:
    """The grader of a lab, with its templates, packs and fingerprints.

    Raises:
        UsageError: one of them is missing or damaged, or does not fit lab.toml.
    """
    known = {t.dataset: packs.find(lab.course, t.dataset) for t in lab.spec.task}
    for task in lab.spec.task:
        expect_fitting(task, known[task.dataset])
    return Grader(
        lab=lab,
        templates={t.id: _template(lab, t) for t in lab.spec.task},
        packs=known,
        sandbox=sandbox,
        device=device,
        published=load_fingerprints(lab.fingerprints),
    )


def _grade_all(
    grader: Grader, holes: Sequence[str], handins: Sequence[Handin], selection: Selection, display: Display, workers: int
) -> Summary:
    lab = grader.lab
    with open_store(lab.course.database, display.say) as store, open_downloads(lab, store) as downloads:
        clear(lab.root)
        grader = replace(grader, downloads=downloads)
        todo = _todo(grader, store, handins, selection)
        _restate(grader, store, handins, todo)
        display.say(
            f"{len(handins)} submission{'s' * (len(handins) != 1)}, {len(todo)} to grade · sandbox: {grader.sandbox.level} · "
            + ", ".join(f"pack {name} ({'public' if p.card.public else 'private'})" for name, p in grader.packs.items())
        )
        for hole in holes:
            display.say(f"level {grader.sandbox.level}: student code {hole}")
        if missing := sum(len(downloads.missing(handin)) for handin in todo):
            display.say(f"{missing} checkpoint{'s' * (missing != 1)} to fetch from the web, ahead of grading")
        with display:
            display.begin(len(todo))
            for graded in _work_through(grader, todo, workers, display):
                keep(lab, store, graded)
                display.done(graded.result)
        results = by_person(store.newest(lab.spec.lab.id))
        _write_missing(lab, store, results)
        _write_class(lab, store, results)
    return Summary(tuple(results), len(todo), lab.results / "index.html")


def _work_through(grader: Grader, todo: Sequence[Handin], workers: int, display: Display) -> Iterator[Graded]:
    """Grade every hand-in; at last and one by one, those once more that met a busy machine."""
    busy: list[str] = []
    for graded in local.run(todo, grader.grade, workers, grader.ready):
        busy += [graded.result.student] if graded.wants_to_be_alone else []
        yield graded
    if busy:
        display.say(f"{len(busy)} of them met a busy machine, and {'are' if len(busy) > 1 else 'is'} graded again, one at a time")
    again = [handin for handin in todo if handin.student in busy]
    yield from local.run(again, partial(grader.grade, alone=True), 1)


def expect_device(device: str) -> None:
    """Raises UsageError where no submission could be executed on that device."""
    if device not in ("cpu", "cuda"):
        raise UsageError(f"--device {device}: expected cpu or cuda")
    if device == "cuda":
        try:
            visible()
        except SandboxError as error:
            raise UsageError(f"--device cuda: {error}") from error


def write_reports(folder: Path) -> Path:
    """Write every report again from the database; returns the class index.

    Raises:
        UsageError: the lab folder is wrong.
        StoreError: the database is damaged, the reports cannot be written, or a run is at work.
    """
    lab = open_lab(folder)
    with disk_faults(folder), open_sound(lab.course.database) as store:
        results = by_person(store.newest(lab.spec.lab.id))
        for result in results:
            write_submission(result, store.artifacts(result.lab, owner(result)), lab.results / result.student)
        _write_class(lab, store, results)
    return lab.results / "index.html"


def _template(lab: LabFolder, task: Task) -> Notebook:
    """The template of a task.

    Raises:
        CourseError: it is no notebook, which is not the students' fault.
    """
    path = lab.template(task.notebook)
    try:
        return parse(path.read_bytes())
    except NotebookError as error:
        raise CourseError(f"{path} is damaged ({error}); remove it, and `grader init {lab.root}` copies it again") from error


def chosen(lab: LabFolder, only: frozenset[str]) -> tuple[Handin, ...]:
    """The hand-ins of a lab, or those of the students named.

    Raises:
        UsageError: there are none, or a name is wrong.
    """
    if not lab.submissions.is_dir():
        raise UsageError(f"{lab.submissions} does not exist; put each hand-in into {lab.submissions}/<student>/")
    handins = discover(lab.submissions, rules_of(lab))
    if not handins:
        raise UsageError(f"{lab.submissions} is empty; put each hand-in into {lab.submissions}/<student>/")
    if unknown := only - {student for h in handins for student in (h.student, *h.members)}:
        raise UsageError(f"--only {sorted(unknown)[0]}: no such student in {lab.submissions}")
    return tuple(h for h in handins if not only or only & {h.student, *h.members})


def _todo(grader: Grader, store: Store, handins: Sequence[Handin], selection: Selection) -> list[Handin]:
    """Hand-ins without a settled result for exactly this content, spec, template, pack and grader."""
    if selection.force:
        return list(handins)
    again = {Status.UNGRADED, Status.FAILED} if selection.failed else {Status.UNGRADED}
    settled = store.settled_keys(grader.spec.lab.id, again)
    return [handin for handin in handins if grader.key(handin) not in settled]


def keep(lab: LabFolder, store: Store, graded: Graded) -> None:
    """First the database, then the reports, which can be rebuilt from it."""
    store.add(graded.result, graded.artifacts, graded.key)
    for result in for_members(graded.result):
        write_submission(result, graded.artifacts, lab.results / result.student)


def _restate(grader: Grader, store: Store, handins: Sequence[Handin], todo: Sequence[Handin]) -> None:
    """Store settled results again where the due date, the time or the group is another now: nothing needs to run for that."""
    lab = grader.lab
    kept = {owner(result): result for result in store.newest(lab.spec.lab.id)}
    for handin in [handin for handin in handins if handin not in todo]:
        result = stated(kept[handin.student], handin)
        if result != kept[handin.student]:
            _keep_again(lab, store, result, grader.key(handin))
    current = {handin.student for handin in handins}
    covered = {student for handin in handins for student in handin.members or (handin.student,)}
    for name, result in kept.items():
        if name not in current and covered & set(result.group):  # a group that is no more is nobody's
            _keep_again(lab, store, result.model_copy(update={"group": ()}), "")


def _keep_again(lab: LabFolder, store: Store, result: SubmissionResult, key: str) -> None:
    """Store a result again with what is newly known about it."""
    again = result.model_copy(update={"graded_at": datetime.now(UTC)})
    artifacts = {task: tuple(found) for task, found in store.artifacts(again.lab, owner(again)).items()}
    keep(lab, store, Graded(again, artifacts, key))


def _write_missing(lab: LabFolder, store: Store, results: Sequence[SubmissionResult]) -> None:
    """Write the reports that an earlier run stored the results of and did not come to write."""
    for result in results:
        if not is_written(result, lab.results / result.student):
            write_submission(result, store.artifacts(result.lab, owner(result)), lab.results / result.student)


def _write_class(lab: LabFolder, store: Store, results: Sequence[SubmissionResult]) -> None:
    drawn = store.pictures(lab.spec.lab.id, THUMBNAIL)
    thumbnails = {(r.student, task.task): drawn.get((owner(r), task.task)) for r in results for task in r.tasks}
    write_class(results, thumbnails, lab.spec.lab.title, lab.results)
