"""Sample classes: what honest, unlucky and dishonest students hand in, built from real checkpoints.

    python solutions/sample_class.py make lab8                  make the lab folder lab8/ with all submissions
    python solutions/sample_class.py demo lab5 --workers 2      the same in lab5/, graded while a server shares the linked checkpoints
    python solutions/sample_class.py train --data D --out RUNS  train the students' checkpoints again (needs the data sets)

Every submission is a template with its TODOs filled, as a student would, with a checkpoint beside it or behind a link. The links lead to a
server on this machine that behaves like Google Drive. The plain student's networks are smaller than the reference's; `early` and `mid` are
the same runs stopped early; `flipped` is a run with the sign of the generator's loss flipped.
"""

import argparse
import base64
import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import torch
from drive_server import Answer, DriveServer, file, missing, page, quota
from students import cwgan, lab5, lab8, lab9, lab10
from students.work import SampleLab, Student, Work
from train import COARSE, execute, store_half

from grader.course import COURSE_FILE, FINGERPRINTS, init
from grader.lookalike import write_fingerprints
from grader.release import fill, solution_notebook, template_notebook
from grader.spec import load_spec

HERE = Path(__file__).parent
SAMPLES: Mapping[str, SampleLab] = {sample.id: sample for sample in (lab5.SAMPLE, lab8.SAMPLE, lab9.SAMPLE, lab10.SAMPLE)}
PORT = 8308
"""Of the server of the links, the same for every demo, so that a second one finds its links unchanged."""
UNGRADED = {"12-nan-and-quota"}
"""Who of lab 8 gets no grade for a task, through no fault of anybody's."""
DUE = datetime(2026, 11, 20, 23, 59)
SETTINGS = """
# of the sample class: its deadline, and the server on this machine that stands for Google Drive
[links]
internal = ["{server}"]

[lab.{lab}]
due = {due}
grace_minutes = 15
late_days = 0
penalty_per_day = 0.1
"""

SAVES: Mapping[str, Mapping[str, int]] = {
    "lab8_vanilla": {"vanilla_early": 1, "vanilla_mid": 3, "vanilla_typical": 13},
    "lab8_cwgan": {"cwgan_early": 2, "cwgan_mid": 4, "cwgan_typical": 11},
    "lab5_cdcgan": {"early": 1, "mid": 6},
    "lab9_cdcgan": {"cdcgan_typical": 3},
    "lab9_sngan": {"sngan_typical": 1},
    "lab10_dcgan": {"dcgan_typical": 3},
    "lab10_sagan": {"sagan_typical": 3},
    "lab10_csagan": {"csagan_typical": 3},
}
"""Which save of the plain student's run of a notebook each checkpoint is: in lab 8 three within the first epoch, then one an epoch.

Lab 5's are good for both tasks, whose generators are the same.
"""


def script(lab: str, task: str) -> Path:
    """The solution script of a task."""
    return HERE / lab / f"{lab}_{task}.py"


def references(lab: str) -> Path:
    """The folder of a lab's published checkpoints; those of its sample class are in `students` there."""
    return HERE / lab / "checkpoints"


def notebook_of(sample: SampleLab, task: str, work: Work) -> bytes:
    """The notebook that the student hands in."""
    source = script(sample.id, task)
    if work.untouched:
        return template_notebook(source)
    if work.solution:
        return _with_curves(solution_notebook(source), references(sample.id) / f"{source.stem}.curves.png")
    return work.edit(fill(template_notebook(source), {**sample.plain[task], **work.bodies}).decode()).encode()


def _with_curves(notebook: bytes, curves: Path) -> bytes:
    """The notebook with the picture, where it is kept, that its curves cell drew when the reference model was trained."""
    if not curves.exists():
        return notebook
    table = json.loads(notebook)
    picture = {"image/png": base64.b64encode(curves.read_bytes()).decode()}
    for cell in table["cells"]:
        if 'plt.title("training curves")' in "".join(cell["source"]):
            cell["outputs"] = [{"output_type": "display_data", "data": picture, "metadata": {}}]
    return json.dumps(table).encode()


def checkpoint_of(sample: SampleLab, task: str, work: Work) -> bytes | None:
    """A checkpoint file."""
    if work.solution:
        return (references(sample.id) / f"{sample.id}_{task}.pt").read_bytes()
    if work.checkpoint is None:
        return None
    if work.checkpoint in sample.hidden:
        name, hide = sample.hidden[work.checkpoint]
        return hide(torch.load(_of_student(sample, task, name), weights_only=True))
    return _of_student(sample, task, work.checkpoint).read_bytes()


def _of_student(sample: SampleLab, task: str, name: str) -> Path:
    """The task's own checkpoint of that name, or the one that is good for all tasks."""
    folder = references(sample.id) / "students"
    own = folder / f"{task}_{name}.pt"
    return own if own.exists() else folder / f"{name}.pt"


def shared_files() -> Mapping[str, Answer]:
    """What the server shares: a checkpoint, a file that is gone, a page in place of a file, one that too many have downloaded."""
    good = _of_student(lab8.SAMPLE, "cwgan", "typical").read_bytes()
    return {"good": file(good), "gone": missing(), "page": page(), "quota": quota()}


def make_class(lab: Path, students: Sequence[Student] | None = None, server: str = f"http://127.0.0.1:{PORT}") -> None:
    """Make the lab folder, whose name is that of a lab, with one submission for each student; an old one in its place is replaced.

    students: by default all of the lab's sample class. server: origin of the server that the links lead to.
    """
    sample = SAMPLES[lab.name]
    students = sample.students if students is None else students
    init(lab, title="Sample course")
    _write_settings(lab / COURSE_FILE, lab.name, server)
    # The students' checkpoints are published as well; here they are the students' own.
    published = references(sample.id)
    write_fingerprints(load_spec(lab / "lab.toml"), HERE / sample.id, sorted(published.glob("*.pt")), lab / FINGERPRINTS)
    groups = [f"{student.name.rpartition('-')[0]},{member}" for student in students for member in student.group]
    (lab / "groups.csv").write_text("\n".join(["group,student", *groups]) + "\n")
    for student in students:
        attempt = lab / "submissions" / student.name / f"{DUE + student.late:%Y-%m-%dT%H-%M}"
        shutil.rmtree(attempt.parent, ignore_errors=True)
        attempt.mkdir(parents=True)
        _hand_in(attempt, sample, student, server)


def _write_settings(path: Path, lab: str, server: str) -> None:
    """Add the sample class's settings to course.toml, in place of earlier ones."""
    text = path.read_text(encoding="utf-8").partition("\n# of the sample class")[0]
    path.write_text(text + SETTINGS.format(lab=lab, server=server, due=DUE.isoformat()), encoding="utf-8")


def _hand_in(folder: Path, sample: SampleLab, student: Student, server: str) -> None:
    links = []
    for task in sample.plain:
        work = student.work(task)
        (folder / f"{script(sample.id, task).stem}.ipynb").write_bytes(notebook_of(sample, task, work))
        checkpoint = None if work.link else checkpoint_of(sample, task, work)
        if checkpoint:
            (folder / f"{task}.pt").write_bytes(checkpoint)
        links.append(f"{task}: {f'{server}/uc?export=download&id={work.link}' if work.link else f'{task}.pt'}\n")
    (folder / "checkpoint_links.txt").write_text("".join(links))
    if student.essay:
        (folder / sample.essay_file).write_text(student.essay, encoding="utf-8")


def demo(lab: Path, workers: int) -> int:
    """Make the class and grade it; returns the exit status of the grader, or 0 where it names just those that must stay ungraded."""
    try:
        server = DriveServer(shared_files(), port=PORT)
    except OSError as error:
        sys.exit(
            f"port {PORT} of this machine is taken ({error.strerror}), perhaps by another demo; the sample class's links lead there"
        )
    with server as drive:
        make_class(lab, server=drive.origin)
        status = subprocess.run(
            [sys.executable, "-m", "grader", "run", str(lab), "--workers", str(workers)], check=False
        ).returncode
    with (lab / "results" / "gradebook.csv").open(encoding="utf-8", newline="") as file:
        open_tasks = {row["student"] for row in csv.DictReader(file) if row["status"] == "ungraded"}
    if status == 1 and open_tasks == UNGRADED:
        print(
            f"exit status 1, as it should be: {', '.join(UNGRADED)} stays ungraded, since too many have downloaded its checkpoint today"
        )
        return 0
    return status


def train_students(data: Path, out: Path, device: str) -> None:
    """Run the plain students' notebooks, and keep their checkpoints by the number of saves so far."""
    for notebook, saves in SAVES.items():
        lab, _, task = notebook.partition("_")
        execute(fill(template_notebook(script(lab, task)), SAMPLES[lab].plain[task]), notebook, out / notebook, data, device)
        for name, save in saves.items():
            store_half(out / notebook / "history" / f"{save:03d}.pt", references(lab) / "students" / f"{name}.pt", COARSE)
    flipped = fill(template_notebook(script("lab8", "cwgan")), {**cwgan.PLAIN, **cwgan.SIGN_FLIPPED})
    execute(flipped, "lab8_cwgan", out / "flipped", data, device)
    store_half(out / "flipped" / "checkpoints" / "handin.pt", references("lab8") / "students" / "cwgan_flipped.pt", COARSE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="make the lab folder")
    grading = commands.add_parser("demo", help="make the lab folder and grade it")
    for command in (making, grading):
        command.add_argument("lab", type=Path, help=f"folder to make; the last part of its path must be {' or '.join(SAMPLES)}")
    grading.add_argument("--workers", type=int, default=1)
    training = commands.add_parser("train", help="train the students' checkpoints again")
    training.add_argument(
        "--data", type=Path, required=True, help="folder of `grader data get` with mnist, fashion_mnist, iclevr and cifar10"
    )
    training.add_argument("--out", type=Path, required=True, help="run folder; used again to resume")
    training.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    if options.command != "train" and options.lab.name not in SAMPLES:
        parser.error(f"{options.lab}: there are sample classes of {' and '.join(SAMPLES)}; name the folder after one")
    if options.command == "make":
        make_class(options.lab)
    elif options.command == "demo":
        sys.exit(demo(options.lab, options.workers))
    else:
        train_students(options.data, options.out, options.device)


if __name__ == "__main__":
    main()
