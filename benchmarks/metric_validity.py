"""What each metric sees: real images spoilt in known ways and steps, measured by every metric there is.

    python benchmarks/metric_validity.py --data DIR [--only mnist] [--quick] [--json FILE] [--from FILE ...] [--write]

The generator imitated draws 2,000 test images, which the classifier never saw, and they are compared with training images:
10,000 take the part of the test set in every metric, the other 49,000 are what can be copied. A pack is built from these around
the shipped classifier. Dropping nine classes takes 2,000 images of one, more than the test set has: 1,000 training images of it,
kept out of the pack, help out.

--data is the folder of `grader data get`; --only takes one data set; --quick takes 3 steps of 4 degradations; --json writes what
was measured; --from shows such files and measures nothing; --write puts pictures and tables into docs/.

The second table is about the shipped pack and the memorisation flag: how often it is raised for real images, for the reference
generators, and for submissions of which 5 % are copies in disguise.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from scipy import stats

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "solutions"), str(REPOSITORY / "benchmarks")]

from degradations import DEGRADATIONS, DISGUISES, KEPT_LAST, Bytes, Degradation, Fresh  # noqa: E402
from generate import samples  # noqa: E402

from datasets import fashion_mnist, mnist  # noqa: E402
from evaluator.evaluate import METRICS, Asked, measure  # noqa: E402
from evaluator.interval import wilson  # noqa: E402
from evaluator.measurement import Measurement  # noqa: E402
from evaluator.metrics.memorisation import flagged, held_out  # noqa: E402
from evaluator.neighbours import nearest  # noqa: E402
from evaluator.pack import Pack, public_pack  # noqa: E402
from evaluator.packs.build import build_around  # noqa: E402
from evaluator.reference import Reference  # noqa: E402
from evaluator.sample import Sample  # noqa: E402

N = 2_000
PAGE = REPOSITORY / "docs" / "metric-validity.md"
BEGIN, END = "<!-- measured: {} -->", "<!-- end -->"
MEASURED = [name for name, metric in METRICS.items() if metric.asked is not Asked.LABELS]
"""All but those for several labels an image, which these data sets do not have."""
ALL_COPIES = frozenset(d.name for d in DEGRADATIONS if d.name.startswith("copies"))
QUALITY = frozenset({"noise", "blur"})
CLAIMS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(["fid", "fd_infinity", "kid", "is"], QUALITY | {"classes dropped"}),
    "class_fid": QUALITY | {"classes dropped", "labels swapped"},
    **dict.fromkeys(["precision", "density", "confident"], QUALITY),
    **dict.fromkeys(["recall", "coverage", "class_kl", "mode_coverage", "ndb", "js"], frozenset({"classes dropped"})),
    "class_agreement": frozenset({"classes dropped", "labels swapped"}),
    "vendi": frozenset({"classes dropped", "repeats"}),
    **dict.fromkeys(["duplicates", "repeats", "birthday"], frozenset({"repeats"})),
    **dict.fromkeys(["memorised", "authentic"], ALL_COPIES),
}
"""Which degradations each metric is there to see."""


OVER_MAGNITUDES = frozenset({"birthday"})
"""Metrics drawn on a logarithmic axis."""


@dataclass(frozen=True)
class Set:
    """A data set that is measured, with the reference model that generates such images: add a line for another."""

    module: Any
    title: str
    script: str
    classes: tuple[str, ...] = ()
    """Of a conditional model."""


SETS = {
    "mnist": Set(mnist, "MNIST", "lab8_vanilla"),
    "fashion_mnist": Set(fashion_mnist, "Fashion-MNIST", "lab8_cwgan", tuple("0123456789")),
}


@dataclass(frozen=True)
class Parts:
    """A data set dealt out anew, in the form that packs are built from."""

    x_train: Bytes
    y_train: Bytes
    x_test: Bytes
    y_test: Bytes
    pool: Bytes
    """What nothing is compared with."""
    pool_labels: Bytes

    @classmethod
    def of(cls, data: Any) -> Parts:
        """10,000 training images become the test set, the test set and 1,000 of class 1 the pool."""
        aside = np.flatnonzero(data.y_train[:50_000] == KEPT_LAST)[:1_000]
        rest = np.delete(np.arange(50_000), aside)
        return cls(
            data.x_train[rest],
            data.y_train[rest],
            data.x_train[50_000:],
            data.y_train[50_000:],
            np.concatenate([data.x_test, data.x_train[aside]]),
            np.concatenate([data.y_test, data.y_train[aside]]),
        )


Curves = dict[str, dict[str, list[list[float]]]]
"""By degradation and metric: for each step its size, value, low end, high end."""


def measured(dataset: str, data: Any, degradations: Sequence[Degradation]) -> Curves:
    """Every metric at every step of every degradation."""
    parts = Parts.of(data)
    with tempfile.TemporaryDirectory() as folder:
        pack = build_around(public_pack(dataset).classifier_weights, dataset, parts, folder, seed=0, public=False)
    reference = Reference.of_pack(pack, parts)
    fresh = Fresh.of(parts.pool, parts.pool_labels, parts.x_train, parts.y_train, N, np.random.default_rng(0))
    known: dict[bytes, list[Measurement]] = {}  # all degradations begin with the same images
    curves: Curves = {}
    for degradation in degradations:
        columns = []
        for step in degradation.steps:
            spoilt = degradation.spoil(fresh, step)
            key = spoilt.images.tobytes() + spoilt.asked.tobytes()
            if key not in known:
                known[key] = list(measure(Sample.of(spoilt.images, reference, spoilt.asked), MEASURED).values())
            columns.append([[step, m.value, m.low, m.high] for m in known[key]])
            print(f"{dataset}: {degradation.name} {step:g}", file=sys.stderr, flush=True)
        curves[degradation.name] = {name: [column[i] for column in columns] for i, name in enumerate(MEASURED)}
    return curves


def flag_rates(dataset: str, data: Any, disguises: Iterable[str]) -> dict[str, dict[str, float]]:
    """For each kind of image: the share that passes for a copy, and how often a submission of 2,000 is flagged."""
    pack, chosen = public_pack(dataset), SETS[dataset]
    real = _near(*held_out(pack.codes), pack)
    split = pack.card.train_images
    script = REPOSITORY / "solutions" / "lab8" / f"{chosen.script}.py"
    made = samples(script, script.parent / "checkpoints" / f"{chosen.script}.pt", 10_000, chosen.classes)
    alone = {
        "training images, held out": real[:split],
        "test images, held out": real[split:],
        "the reference generator": _recognised(made, pack),
    }
    rates = {name: {"images": float(found.mean()), "all": _chance([(N, float(found.mean()))])} for name, found in alone.items()}
    images = data.x_train[np.random.default_rng(4).choice(len(data.x_train), N, replace=False)]
    background = float(real.mean())
    for name in disguises:
        share = float(_recognised(DISGUISES[name](images), pack).mean())
        mixed = {f"{part} %": _chance([(N * part // 100, share), (N - N * part // 100, background)]) for part in (1, 5, 20)}
        rates[name] = {"images": share, **mixed}
    return rates


def _recognised(images: Bytes, pack: Pack) -> np.ndarray:
    return _near(*nearest(pack.projection.encode(images), pack.codes), pack)


def _near(squared: np.ndarray, rows: np.ndarray, pack: Pack) -> np.ndarray:
    return squared < pack.copy_limits(rows)


def _chance(parts: Sequence[tuple[int, float]]) -> float:
    """How likely the flag is, where the images of each part count with a probability of their own: binomial distributions, added."""
    counts = np.ones(1)
    for n, share in parts:
        counts = np.convolve(counts, stats.binom.pmf(np.arange(n + 1), n, share))
    needed = next(k for k in range(N) if flagged(Measurement("", k / N, *wilson(k, N), N)))
    return float(counts[needed:].sum())


def verdict(metric: str, degradation: str, curve: Sequence[Sequence[float]]) -> str:
    """A cell of the table: what the metric says of the degradation, and from which step on; bold where it is there to see it."""
    steps, values, lows, highs = zip(*curve, strict=True)
    seen = [low > highs[0] or high < lows[0] for low, high in zip(lows, highs, strict=True)]
    if not seen[-1]:
        text = "·"
    else:
        better = METRICS[metric].lower_is_better
        worse = better is None or (values[-1] > values[0]) is better
        monotone = abs(stats.spearmanr(range(len(values)), values).statistic) >= 0.9
        first = next(i for i in range(len(seen)) if all(seen[i:]))
        text = f"{('●' if monotone else '◐') if worse else '✗'} {steps[first]:g}"
    return f"**{text}**" if degradation in CLAIMS.get(metric, ()) else text


def verdict_table(curves: Curves) -> str:
    """Markdown: a row a metric, a column a degradation."""
    columns = [d for d in DEGRADATIONS if d.name in curves]
    head = ["metric", *(d.name for d in columns)]
    rows = [[f"`{m}`", *(verdict(m, d.name, curves[d.name][m]) for d in columns)] for m in MEASURED]
    return _table(head, rows)


def value_table(curves: Curves) -> str:
    """Markdown: what unspoilt images score, and those of the last step."""
    columns = [d for d in DEGRADATIONS if d.name in curves]
    head = ["metric", "unspoilt", *(f"{d.name} {d.steps[-1]:g}" for d in columns)]
    first = columns[0].name
    rows = []
    for metric in MEASURED:
        _, value, low, high = curves[first][metric][0]
        ends = [f"{curves[d.name][metric][-1][1]:.3g}" for d in columns]
        rows.append([f"`{metric}`", f"{value:.3g} ({low:.3g} … {high:.3g})", *ends])
    return _table(head, rows)


Rates = Mapping[str, Mapping[str, Mapping[str, float]]]
"""By data set and kind of image."""


def alarm_table(rates: Rates) -> str:
    """Markdown: how many of the images that are no copies pass for one, and how often 2,000 of them raise the flag."""
    head = ["images", *(f"{SETS[d].title}: {what}" for d in rates for what in ("pass for copies", "2,000 of them flagged"))]
    rows = [
        [kind, *(cell for of in rates.values() for cell in (f"{of[kind]['images']:.3%}", _odds(of[kind]["all"])))]
        for kind in _kinds(rates, alone=True)
    ]
    return _table(head, rows)


def detection_table(rates: Rates) -> str:
    """Markdown: how many of the copies in each disguise are recognised, and how often 2,000 images with a share of them are flagged."""
    head = ["copies", *(f"{SETS[d].title}: {what}" for d in rates for what in ("recognised", "1 % copies", "5 %", "20 %"))]
    rows = [
        [kind, *(f"{of[kind][part]:.1%}" for of in rates.values() for part in ("images", "1 %", "5 %", "20 %"))]
        for kind in _kinds(rates, alone=False)
    ]
    return _table(head, rows)


def _kinds(rates: Rates, *, alone: bool) -> list[str]:
    """Kinds of image that make up whole submissions, or that are mixed with others."""
    return [kind for kind, found in next(iter(rates.values())).items() if ("all" in found) is alone]


def _odds(chance: float) -> str:
    return f"1 in {float(f'{1 / chance:.1g}'):,.0f}" if chance > 1e-9 else "less than 1 in 10⁹"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def drawn(curves: Curves, title: str) -> bytes:
    """A PNG of every metric (rows) against the steps of every degradation (columns)."""
    columns = [d for d in DEGRADATIONS if d.name in curves]
    figure = Figure(figsize=(1.35 * len(columns) + 1.2, 0.72 * len(MEASURED) + 1), layout="constrained")
    axes = figure.subplots(len(MEASURED), len(columns), sharex="col", sharey="row", squeeze=False)
    for row, metric in zip(axes, MEASURED, strict=True):
        for panel, degradation in zip(row, columns, strict=True):
            steps, value, low, high = np.array(curves[degradation.name][metric]).T
            claimed = degradation.name in CLAIMS.get(metric, ())
            panel.axhspan(low[0], high[0], color="0.85", linewidth=0)
            panel.fill_between(range(len(value)), low, high, color="#0072b2", alpha=0.25, linewidth=0)
            panel.plot(value, color="#d55e00" if claimed else "#0072b2", marker=".", markersize=4, linewidth=1.2)
            panel.set_xticks(range(len(value)), [f"{step:g}" for step in steps], fontsize=7)
            panel.tick_params(labelsize=7, length=2)
            if metric in OVER_MAGNITUDES:
                panel.set_yscale("log")
            else:
                panel.locator_params(axis="y", nbins=3)
        row[0].set_ylabel(metric, rotation=0, ha="right", va="center", fontsize=9)
    for panel, degradation in zip(axes[0], columns, strict=True):
        panel.set_title(degradation.name, fontsize=9)
    for panel, degradation in zip(axes[-1], columns, strict=True):
        panel.set_xlabel(degradation.unit.replace(", ", ",\n"), fontsize=7)
    figure.suptitle(f"{title}: every metric (rows) against every degradation (columns)", fontsize=11)
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=90)
    small = io.BytesIO()
    Image.open(raw).convert("RGB").quantize(32).save(small, "PNG", optimize=True)
    return small.getvalue()


def sections(found: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What stands in the page between each pair of markers."""
    rates = {dataset: of["flag"] for dataset, of in found.items()}
    parts = {"false alarms": alarm_table(rates), "detection": detection_table(rates)}
    for dataset, of in found.items():
        parts[f"{dataset} verdicts"] = verdict_table(of["curves"])
        parts[f"{dataset} values"] = value_table(of["curves"])
    return parts


def write(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Put the pictures and the tables into docs/."""
    for dataset, of in found.items():
        (PAGE.parent / "img" / f"validity-{dataset.replace('_', '-')}.png").write_bytes(drawn(of["curves"], SETS[dataset].title))
    page = PAGE.read_text()
    for name, table in sections(found).items():
        before, _, rest = page.partition(BEGIN.format(name))
        _, _, after = rest.partition(END)
        page = f"{before}{BEGIN.format(name)}\n\n{table}\n\n{END}{after}"
    PAGE.write_text(page)


def quick(degradation: Degradation) -> Degradation:
    """Its first, middle and last step."""
    steps = degradation.steps
    return replace(degradation, steps=(steps[0], steps[len(steps) // 2], steps[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of `grader data get`")
    parser.add_argument("--only", choices=SETS, action="append", help="this data set, not all")
    parser.add_argument("--quick", action="store_true", help="three steps of four degradations, four disguises")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    parser.add_argument(
        "--from", dest="files", type=Path, nargs="+", metavar="FILE", help="show what such files say; measure nothing"
    )
    parser.add_argument("--write", action="store_true", help="put pictures and tables into docs/")
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("a quick run is not for the page")
    found: dict[str, Any] = {}
    for file in options.files or ():
        found |= json.loads(file.read_text())
    if not options.files:
        if options.data is None:
            parser.error("--data or --from is needed")
        degradations = [quick(d) for d in DEGRADATIONS[::2][:4]] if options.quick else DEGRADATIONS
        disguises = list(DISGUISES)[:4] if options.quick else list(DISGUISES)
        for dataset in options.only or SETS:
            data = SETS[dataset].module.load(options.data)
            flag = flag_rates(dataset, data, disguises)
            found[dataset] = {"curves": measured(dataset, data, degradations), "flag": flag}
    if options.json:
        options.json.write_text(json.dumps(found))
    if options.write:
        write(found)
    for name, table in sections(found).items():
        print(f"\n{name}\n\n{table}")


if __name__ == "__main__":
    main()
