"""Generate what labs/ holds from solutions/: the template notebooks, the fingerprints of what is published, and sample pictures.

    python solutions/generate.py [--pictures]

Templates come from the solution scripts, fingerprints from them and from all checkpoints. With --pictures, each solution notebook is
also run with its shipped checkpoint, and 64 samples of its generate() are written to labs/<lab>/reference/<task>.png, which reports
show beside the student's.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import papermill

from grader.course import FINGERPRINTS
from grader.lookalike import write_fingerprints
from grader.gallery import sample_grid, shown
from grader.release import solution_notebook, write_templates
from grader.spec import Task, load_spec

REPOSITORY = Path(__file__).resolve().parent.parent
SOLUTIONS, LABS = REPOSITORY / "solutions", REPOSITORY / "labs"
BLOCK = 500
LAST_CELL = """
torch.manual_seed(0)
np.save("samples.npy", np.concatenate([torch.as_tensor(generate(*call)).cpu().numpy() for call in {calls}]))
"""
LAST_CELL_OF_PROMPTS = """
torch.manual_seed(0)
rows = torch.from_numpy(np.load("labels.npy"))
np.save("samples.npy", np.concatenate([torch.as_tensor(generate(part)).cpu().numpy() for part in rows.split({block})]))
"""


def samples_of(task: Task, script: Path, checkpoint: Path, n: int) -> np.ndarray:
    """Images of a task's solution notebook with its checkpoint, uint8 (n, …), in the order of a measurement; always the same ones."""
    if task.prompt_sets is None:
        return samples(script, checkpoint, n, task.classes if task.conditional else ())
    labels = task.prompt_sets.labels(n).astype(np.float32)
    return _run(script, checkpoint, LAST_CELL_OF_PROMPTS.format(block=BLOCK), labels)


def samples(script: Path, checkpoint: Path, n: int, classes: Sequence[str] = ()) -> np.ndarray:
    """Images of a solution notebook with its checkpoint, uint8 (n, height, width); always the same ones.

    With classes, which generate(n, c) then gets by number, image i is of class i modulo their number.
    """
    every = [(c,) for c in range(len(classes))] or [()]
    share = n // len(every)
    calls = [(min(BLOCK, share - start), *c) for c in every for start in range(0, share, BLOCK)]
    images = _run(script, checkpoint, LAST_CELL.format(calls=calls))
    return images.reshape(len(every), share, *images.shape[1:]).swapaxes(0, 1).reshape(images.shape)


def _run(script: Path, checkpoint: Path, last_cell: str, labels: np.ndarray | None = None) -> np.ndarray:
    """What the notebook with one more cell saves as samples.npy, as bytes."""
    table = json.loads(solution_notebook(script))
    cell = {
        "cell_type": "code",
        "id": "last",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": last_cell,
    }
    table["cells"].append(cell)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "notebook.ipynb"
        source.write_text(json.dumps(table))
        if labels is not None:
            np.save(Path(folder) / "labels.npy", labels)
        parameters = {"TRAIN": False, "CHECKPOINT": str(checkpoint), "DEVICE": "cpu"}
        papermill.execute_notebook(source, None, parameters=parameters, cwd=folder, progress_bar=False)
        return np.rint(np.load(Path(folder) / "samples.npy") * 255).astype(np.uint8)


def _whole_turns(task: Task) -> int:
    """As many images as a picture shows; where prompts take turns, one of each."""
    return shown(task) if task.prompt_sets is None else task.prompt_sets.count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", action="store_true", help="also run the solutions and write reference pictures")
    options = parser.parse_args()
    for lab in sorted(folder.parent for folder in LABS.glob("*/lab.toml")):
        for path in write_templates(lab.name, SOLUTIONS, LABS):
            print(path.relative_to(REPOSITORY))
        solutions = SOLUTIONS / lab.name
        checkpoints = sorted((solutions / "checkpoints").rglob("*.pt"))
        print(write_fingerprints(load_spec(lab / "lab.toml"), solutions, checkpoints, lab / FINGERPRINTS).relative_to(REPOSITORY))
        if options.pictures:
            for task in load_spec(lab / "lab.toml").task:
                stem = Path(task.notebook).stem
                script, checkpoint = solutions / f"{stem}.py", solutions / "checkpoints" / f"{stem}.pt"
                images = samples_of(task, script, checkpoint, _whole_turns(task))
                target = lab / "reference" / f"{task.id}.png"
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(sample_grid(images, task))
                print(target.relative_to(REPOSITORY))


if __name__ == "__main__":
    main()
