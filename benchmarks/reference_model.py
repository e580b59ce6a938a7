"""Metrics of a shipped reference model, written into its model card.

    python benchmarks/reference_model.py lab8/lab8_vanilla --data DIR [--quick]

10,000 images come from the solution notebook with the shipped checkpoint, equally many of each class where they are asked for by class.
Measured: FID by the official Inception features against the 10,000 test images (`fid10k_test_inception`, comparable with publications; 30
CPU-minutes), the in-domain FID, the smallest and largest share of a class, and for a conditional model the share that the public pack's
classifier puts in the class asked for, the same share of real test images, and the ratio of both. A model of prompts is measured by all
metrics of its task in lab.toml, those that are looked at for flags included, with as many images as the task asks for. --quick leaves the
Inception out and changes no card. Needs the extra `inception`.
"""

import argparse
import sys
import tomllib
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "solutions"), str(REPOSITORY / "benchmarks")]

from generate import LABS, SOLUTIONS, samples_of  # noqa: E402
from inception_fid import CACHE, network, reference_features  # noqa: E402

from evaluator.evaluate import measure  # noqa: E402
from evaluator.frechet import distance_interval, factored, moments  # noqa: E402
from evaluator.pack import public_pack  # noqa: E402
from evaluator.sample import Sample  # noqa: E402
from grader.measure import Scorer  # noqa: E402
from grader.spec import Task, load_spec  # noqa: E402

N = 10_000


def task_of(notebook: str) -> Task:
    """The lab's task that the notebook, such as lab8/lab8_vanilla, is the solution of."""
    lab, _, stem = notebook.partition("/")
    tasks = [task for task in load_spec(LABS / lab / "lab.toml").task if Path(task.notebook).stem == stem]
    return tasks[0] if tasks else sys.exit(f"labs/{lab}/lab.toml has no task with the notebook {stem}.ipynb")


def indomain(images: np.ndarray, task: Task) -> dict[str, float]:
    """FID in the public pack's features, the extremes of the class shares, and for a conditional task the class agreement."""
    pack = public_pack(task.dataset)
    sample = Sample.of(images, pack, np.arange(len(images)) % len(task.classes) if task.conditional else None)
    shares = sample.describe().shares
    names = ["fid10k_test_indomain", *(["class_agreement10k_indomain"] if task.conditional else [])]
    metrics = {name: measured.value for name, measured in measure(sample, names).items()}
    if task.conditional:
        real = pack.card.classifier_accuracy
        metrics["class_agreement_real_indomain"] = real
        metrics["class_agreement10k_indomain_to_real"] = metrics["class_agreement10k_indomain"] / real
    return {**metrics, "smallest_class_share": float(shares.min()), "largest_class_share": float(shares.max())}


def of_prompts(images: np.ndarray, task: Task) -> dict[str, float]:
    """All metrics of the task, with the intervals of the accuracies that bring points, and what real images score."""
    pack = public_pack(task.dataset)
    metrics = {}
    for name, found in Scorer(task, pack).measure(images).items():
        metrics[name] = found.value
        if name in {criterion.metric for criterion in task.metrics} and name.startswith("topk"):
            metrics |= {f"{name}_low": found.low, f"{name}_high": found.high}
    return {**metrics, "topk_accuracy_real_indomain": pack.card.classifier_accuracy}


def inception(images: np.ndarray, dataset: str, data: Path, cache: Path) -> dict[str, float]:
    """FID in the official Inception features, with its 95 % interval."""
    run = network()
    real = factored(moments(reference_features(dataset, data, cache, run)))
    value, low, high = distance_interval(run.extract(images).features, real)
    return {"fid10k_test_inception": value, "fid10k_test_inception_low": low, "fid10k_test_inception_high": high}


def write_metrics(card: Path, metrics: dict[str, float]) -> None:
    """Replace the card's [metrics] table."""
    training = card.read_text().partition("\n[metrics]")[0].rstrip("\n")
    lines = [f"{name} = {value:.4g}" for name, value in metrics.items()]
    card.write_text(f"{training}\n\n[metrics]\n" + "\n".join(lines) + "\n")
    tomllib.loads(card.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", help="lab and notebook, for example lab8/lab8_vanilla")
    parser.add_argument("--data", type=Path, required=True, help="folder of `grader data get`")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where features of the real images are kept")
    parser.add_argument("--quick", action="store_true", help="in-domain metrics only; the card stays as it is")
    options = parser.parse_args()
    task = task_of(options.notebook)
    script = SOLUTIONS / f"{options.notebook}.py"
    checkpoint = script.parent / "checkpoints" / f"{script.stem}.pt"
    images = samples_of(task, script, checkpoint, N if task.prompt_sets is None else task.samples)
    metrics = indomain(images, task) if task.prompt_sets is None else of_prompts(images, task)
    if not options.quick:
        if task.prompt_sets is None:
            metrics = {**inception(images, task.dataset, options.data, options.cache), **metrics}
        write_metrics(checkpoint.with_suffix(".toml"), metrics)
    for name, value in metrics.items():
        print(f"{name} = {value:.4g}")


if __name__ == "__main__":
    main()
