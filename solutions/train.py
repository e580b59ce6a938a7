"""Train a reference model by running its solution notebook, the way a student would.

    python solutions/train.py lab8/lab8_vanilla --data data --out runs/lab8_vanilla

The notebook is executed in the run folder with TRAIN = True; it writes `checkpoints/handin.pt` and `checkpoints/resume.pt`
after each epoch, so an interrupted run goes on where it was when the command is given again. Each epoch's `handin.pt` is also
kept as `history/<number>.pt`. At the end the generator is stored in half precision beside a model card.
"""

import argparse
import hashlib
import io
import shutil
import subprocess
import threading
import time
import zipfile
from pathlib import Path

import papermill
import torch

from grader.release import solution_notebook

SOLUTIONS = Path(__file__).parent
SECONDS = "seconds.txt"
SMALLEST = 2.0**-14
"""Of the numbers that half precision holds with all its digits."""
FINE, COARSE = 127, 31
"""Levels of a weight's size: of a reference model, and of a sample class's student, which nobody measures for its own sake."""


def seconds_so_far(run: Path) -> float:
    """Seconds of training up to the last save, over all times that the run was resumed."""
    file = run / SECONDS
    return float(file.read_text()) if file.exists() else 0.0


def keep_history(run: Path, stop: threading.Event) -> None:
    """Copy every new handin.pt to history/, since the notebook keeps only the newest, and note how long it took."""
    source, seen = run / "checkpoints" / "handin.pt", 0.0
    before, started = seconds_so_far(run), time.time()
    history = run / "history"
    history.mkdir(exist_ok=True)
    while True:
        last_look = stop.is_set()
        if source.exists() and (changed := source.stat().st_mtime) != seen:
            seen = changed
            (run / SECONDS).write_text(f"{before + max(changed - started, 0):.0f}")
            shutil.copyfile(source, history / f"{len(list(history.iterdir())) + 1:03d}.pt")
        if last_look:
            return
        stop.wait(2)


def execute(notebook: bytes, name: str, run: Path, data: Path, device: str) -> None:
    """Execute a notebook with TRAIN = True in the run folder."""
    run.mkdir(parents=True, exist_ok=True)
    run = run.resolve()  # papermill changes the working directory
    source = run / f"{name}.ipynb"
    source.write_bytes(notebook)
    stop = threading.Event()
    watcher = threading.Thread(target=keep_history, args=(run, stop))
    watcher.start()
    try:
        papermill.execute_notebook(
            source,
            run / f"{name}.trained.ipynb",
            parameters={"TRAIN": True, "DEVICE": device, "DATA_DIR": str(data.resolve())},
            cwd=str(run),
            log_output=True,
            progress_bar=False,
        )
    finally:
        stop.set()
        watcher.join()


def store_half(source: Path, target: Path, levels: int = FINE) -> None:
    """Store a state dict in half precision, in about a byte a weight, or less with fewer levels; integer buffers stay as they are.

    Each row of a matrix or kernel is rounded to multiples, from −levels to levels, of a power of two, which half precision holds exactly,
    and the file is deflated: `torch.load` reads it as it does any other.
    """
    state = torch.load(source, map_location="cpu", weights_only=True)
    whole = io.BytesIO()
    torch.save({k: _rounded(v, levels).half() if v.is_floating_point() else v for k, v in state.items()}, whole)
    target.write_bytes(deflated(whole.getvalue()))


def _rounded(weight: torch.Tensor, levels: int) -> torch.Tensor:
    if weight.ndim < 2:
        return weight
    largest = weight.float().flatten(1).abs().amax(1).clamp(min=SMALLEST)
    step = torch.exp2(torch.ceil(torch.log2(largest / levels))).view(-1, *[1] * (weight.ndim - 1))
    return torch.round(weight.float() / step) * step


def deflated(checkpoint: bytes) -> bytes:
    """A checkpoint file, a zip archive whose entries are stored as they are, with compressed entries."""
    compressed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(checkpoint)) as stored, zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in stored.infolist():
            archive.writestr(entry.filename, stored.read(entry), compresslevel=9)
    return compressed.getvalue()


def data_sha256(data: Path) -> str:
    """Hash over every file below the data folder, names included, in sorted order; not what notebooks keep there for themselves."""
    digest = hashlib.sha256()
    for file in sorted(p for p in data.rglob("*") if p.is_file() and p.suffix != ".pt"):
        digest.update(file.relative_to(data).as_posix().encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def write_card(target: Path, *, device: str, epochs: int, steps: int, seconds: float, data: Path) -> None:
    """Write the model card's [training] table; [metrics] is added by the script that measures them."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=SOLUTIONS, capture_output=True, text=True).stdout.strip()
    name = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU cores"
    target.write_text(
        "[training]\n"
        f'device = "{name}"\nepochs = {epochs}\nsteps = {steps}\nseconds = {seconds:.0f}\n'
        f'data_sha256 = "{data_sha256(data)}"\ncommit = "{commit}"\ntorch = "{torch.__version__}"\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", help="lab and notebook, for example lab8/lab8_vanilla")
    parser.add_argument("--data", type=Path, required=True, help="folder of `grader data get`")
    parser.add_argument("--out", type=Path, required=True, help="run folder; used again to resume")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    script = SOLUTIONS / f"{options.notebook}.py"
    execute(solution_notebook(script), script.stem, options.out, options.data, options.device)
    store_half(options.out / "checkpoints" / "handin.pt", options.out / f"{script.stem}.pt")
    resume = torch.load(options.out / "checkpoints" / "resume.pt", map_location="cpu", weights_only=True)
    write_card(
        options.out / f"{script.stem}.toml",
        device=options.device,
        epochs=resume["epoch"],
        steps=int(resume["optimizer_g"]["state"][0]["step"]),
        seconds=seconds_so_far(options.out),
        data=options.data,
    )


if __name__ == "__main__":
    main()
