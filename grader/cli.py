"""The `grader` command."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from grader import __version__, threads
from grader.errors import GraderError, UngradedError, UsageError

EXIT_UNGRADED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

out = Console(soft_wrap=True, markup=False, highlight=False)
err = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)


class _Commands(TyperGroup):
    """The commands; here, because Typer itself ends in silence on an interrupt."""

    def invoke(self, ctx: Any) -> Any:  # Any: newer versions of Typer bring their own copy of click
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            err.print("interrupted; what was finished is kept, and the next run goes on from there")
            raise typer.Exit(EXIT_INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    help="Release, execute and grade GAN labs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
pack_app = typer.Typer(help="Classifiers, moments and features that score images.", no_args_is_help=True)
data_app = typer.Typer(help="Raw data sets; grading itself needs none.", no_args_is_help=True)
app.add_typer(pack_app, name="pack")
app.add_typer(data_app, name="data")
gradescope_app = typer.Typer(help="A lab as an autograder of Gradescope.", no_args_is_help=True)
app.add_typer(gradescope_app, name="gradescope")

LabArgument = Annotated[Path, typer.Argument(help="lab folder", show_default=False)]
DataOption = Annotated[Path | None, typer.Option(help="folder of the raw data; default: the user's cache folder")]


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"grader {__version__}")
        raise typer.Exit


@app.callback()
def options(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False) -> None:
    """Release, execute and grade GAN labs."""


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="course folder, or lab folder where its name is a lab's id, such as lab8")],
    public: Annotated[bool, typer.Option("--public-pack", help="do not build a private pack")] = False,
    data: DataOption = None,
) -> None:
    """Make a course or lab folder, and the private packs that its labs are graded with."""
    from grader import course, packs

    root = course.init(folder)
    out.print(f"course folder: {root}")
    if (folder / "lab.toml").exists():
        lab = course.open_lab(folder)
        out.print(f"lab folder: {folder}; put submissions into {folder / 'submissions'}/<student>/")
        for dataset in sorted({task.dataset for task in lab.spec.task}):
            if public:
                out.print(f"{dataset}: graded with the public pack, as asked")
            else:
                out.print(packs.build_private(lab.course, dataset, data))


@app.command()
def release(
    lab: LabArgument,
    to: Annotated[Path, typer.Option(help="folder for the zip")] = Path(),
) -> None:
    """Make the zip that students get: template notebooks and handout."""
    from grader import release as releasing

    out.print(f"wrote {releasing.release(lab, to)}")


@app.command()
def run(
    lab: LabArgument,
    workers: Annotated[int, typer.Option(min=1, help="submissions graded at a time")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    only: Annotated[list[str] | None, typer.Option(help="grade this student only; can be repeated")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="grade failed and ungraded submissions again")] = False,
    force: Annotated[bool, typer.Option("--force", help="grade everything again")] = False,
    allow_reduced: Annotated[
        bool, typer.Option("--allow-reduced", help="grade in a sandbox of level reduced, where this machine has no better one")
    ] = False,
    trust_submissions: Annotated[bool, typer.Option(help="run without a sandbox: student code can do what you can")] = False,
) -> None:
    """Grade everything new; finish what an earlier run left."""
    threads.pin()  # before numpy and torch are imported
    from grader.classrun import Selection, grade_class
    from grader.display import Display, result_table

    selection = Selection(only=frozenset(only or ()), failed=failed, force=force)
    display = Display(out)
    summary = grade_class(
        lab, selection, display, workers=workers, device=device, trust=trust_submissions, allow_reduced=allow_reduced
    )
    out.print(result_table(list(summary.results)))
    out.print(summary.report)
    if summary.ungraded:
        err.print("not graded, and tried again by the next run: " + "; ".join(summary.ungraded))
        raise typer.Exit(EXIT_UNGRADED)


@app.command()
def fetch(
    lab: LabArgument,
    only: Annotated[list[str] | None, typer.Option(help="this student only; can be repeated")] = None,
    refetch: Annotated[
        bool, typer.Option("--refetch", help="look again at every link, and report what changed; the snapshot counts")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="fetch every link again, and let what comes count")] = False,
) -> None:
    """Fetch linked checkpoints into the snapshot that grading uses, such as at the deadline."""
    from grader.fetchrun import fetch_class
    from grader.snapshot import Again

    again = Again.REPLACE if replace else Again.LOOK if refetch else Again.NO
    report = fetch_class(lab, frozenset(only or ()), again, out)
    out.print(report.table())
    out.print(report.counts)
    if report.ungraded:
        err.print("not fetched, and tried again by the next fetch or run: " + "; ".join(report.ungraded))
        raise typer.Exit(EXIT_UNGRADED)


@app.command()
def report(lab: LabArgument) -> None:
    """Write all reports again from the database."""
    from grader.classrun import write_reports

    out.print(f"wrote {write_reports(lab)}")


@app.command()
def doctor() -> None:
    """What this machine can do, and how to get what is missing."""
    from grader.doctor import examine

    for line in examine():
        out.print(line)


@app.command()
def evaluate(
    images: Annotated[Path, typer.Argument(help="folder or zip of pictures, npy or npz", show_default=False)],
    reference: Annotated[str, typer.Option(help="data set such as mnist, folder of a pack, or path of real images")],
    metrics: Annotated[
        str, typer.Option(help="such as fid,kid_inception; all; default: what needs no raw data", show_default=False)
    ] = "",
    labels: Annotated[
        Path | None, typer.Option(help="class of each image, in the order of the files' names: text or npy; default: by folder")
    ] = None,
    pictures: Annotated[Path | None, typer.Option(help="folder to draw the images and the metrics in")] = None,
    json: Annotated[Path | None, typer.Option(help="file to write the measurements to as well")] = None,
    data: DataOption = None,
    logits: Annotated[Path | None, typer.Option(help="published Inception weights, for its Inception Score")] = None,
) -> None:
    """Measure images: FID, KID, precision and recall, memorisation and more."""
    from grader import evaluation

    wanted = [name.strip() for name in metrics.split(",") if name.strip()]
    found = evaluation.evaluate(images, reference, wanted, labels=labels, data=data, logits=logits)
    out.print(found.table())
    for reason in found.reasons():
        err.print(f"not measured: {reason}")
    if json is not None:
        found.write_json(json)
    if pictures is not None:
        from grader.drawing import draw

        drawn, missing = draw(found.sample, pictures)
        out.print(f"drew {', '.join(path.name for path in drawn)} in {pictures}")
        for reason in missing:
            err.print(f"not drawn: {reason}")
    if found.missing:
        raise UsageError(f"not measured, for the reasons above: {', '.join(found.missing)}")


@app.command()
def serve(
    lab: LabArgument,
    api: Annotated[bool, typer.Option("--api", help="take hand-ins over HTTP, such as from Gradescope's containers")] = False,
    host: Annotated[
        str, typer.Option(help="address to listen at; others than this machine's own need a certificate")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8443,
    certificate: Annotated[Path | None, typer.Option(help="PEM file, for HTTPS")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of its key")] = None,
    workers: Annotated[int, typer.Option(min=1, help="submissions graded at a time")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    allow_reduced: Annotated[bool, typer.Option("--allow-reduced", help="as with `grader run`")] = False,
    trust_submissions: Annotated[bool, typer.Option(help="as with `grader run`")] = False,
) -> None:
    """Grade for others, such as containers without a GPU, until interrupted."""
    if not api:
        raise UsageError("say what to serve: --api takes hand-ins over HTTP; docs/service.md says more")
    threads.pin()
    try:
        from grader.service.serve import Address, serve
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed, which the service needs: pip install 'gan-lab-grader[web]'") from error

    address = Address(host, port, certificate, key)
    serve(lab, address, out.print, workers=workers, device=device, trust=trust_submissions, allow_reduced=allow_reduced)


@gradescope_app.command("build")
def gradescope_build(
    lab: LabArgument,
    to: Annotated[Path, typer.Option(help="folder for the zip")] = Path(),
) -> None:
    """Make the zip to upload as a lab's autograder; docs/gradescope.md says how."""
    from grader.gradescope.build import build

    for line in build(lab, to).lines():
        out.print(line)


@pack_app.command("build")
def pack_build(
    dataset: Annotated[str, typer.Argument(help="data set, such as mnist")],
    to: Annotated[Path, typer.Option(help="folder of the pack; default: packs/<data set>")] = Path("packs"),
    seed: Annotated[int | None, typer.Option(help="fixed seed for a pack that others can build again; default: secret")] = None,
    public: Annotated[bool, typer.Option("--public", help="mark the pack as known to students")] = False,
    evaluator: Annotated[
        Path | None,
        typer.Option(help="i-CLEVR: the course's own classifier, checkpoint.pth; default: train one", show_default=False),
    ] = None,
    data: DataOption = None,
) -> None:
    """Train the classifier and compute moments, features and thresholds from the raw data set."""
    from grader import packs

    out.print(packs.build(dataset, to / dataset, data, seed=seed, public=public, evaluator=evaluator))


@data_app.command("get")
def data_get(
    dataset: Annotated[str, typer.Argument(help="data set, such as mnist")],
    to: Annotated[Path | None, typer.Option(help="folder; default: the user's cache folder")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="iclevr: the folder with objects.json and train.json to import; default: render")
    ] = None,
) -> None:
    """Fetch a raw data set from its official source or a mirror (iclevr: render or import it), and verify it."""
    from grader import packs

    out.print(f"{dataset}: {packs.get_data(dataset, to, source)}")


@data_app.command("render")
def data_render(
    to: Annotated[Path, typer.Argument(help="folder to make")],
    scenes: Annotated[int | None, typer.Option(min=1, help="three pictures each; default: 6003")] = None,
    seed: Annotated[int, typer.Option(help="of the scenes and the prompts")] = 0,
    metal: Annotated[bool, typer.Option("--metal", help="bodies of metal instead of rubber")] = False,
) -> None:
    """Render i-CLEVR as the folder that courses hand out: pictures of 320×240, train.json, test.json and new_test.json."""
    from grader import packs

    out.print(packs.render_data(to, scenes=scenes, seed=seed, metal=metal))


def main() -> None:
    """Entry point: every error of ours is one message and an exit status; 1 ungraded, 2 usage."""
    try:
        app()
    except UsageError as error:
        err.print(f"error: {error}")
        sys.exit(EXIT_USAGE)
    except UngradedError as error:
        err.print(f"error: {error}")
        sys.exit(EXIT_UNGRADED)
    except (GraderError, OSError) as error:  # the latter from what has no words of its own for a full disk
        err.print(f"error: {error}")
        sys.exit(EXIT_UNGRADED)
