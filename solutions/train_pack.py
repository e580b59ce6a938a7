"""Carry a training to a machine without a network: code, CIFAR-10 and the Inception weights in parts of at most 40 MiB.

    python solutions/train_pack.py pack --data data --to train-pack/
    python train-pack/unpack.py train-pack/ --to work/        # there: torch, numpy and Pillow suffice

Images travel as lossless WebP, the Inception weights in half precision, everything in one archive that is cut into parts. `unpack.py` joins
the parts, compares their sha256 and writes code, `data/CIFAR10/raw` as `grader data get cifar10` has it, and
`inception-half.pt`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
if (REPOSITORY / "datasets").is_dir():
    sys.path.insert(0, str(REPOSITORY))

PART = 40 << 20
"""Bytes of a part, at most."""
ROW = 100
"""Images side by side in a picture, and rows of them: 10,000 images of 32 pixels make one of 3,200 by 3,200."""
CODE = ("solutions", "labs", "grader", "evaluator", "datasets", "benchmarks")
MANIFEST = "parts.json"
INCEPTION = "inception-half.pt"


def sheet(images: np.ndarray) -> bytes:
    """10,000 images, uint8 (10000, 3, 32, 32), as one lossless WebP picture."""
    side = images.shape[-1]
    grid = images.reshape(ROW, ROW, 3, side, side).transpose(0, 3, 1, 4, 2).reshape(ROW * side, ROW * side, 3)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grid)).save(buffer, "WEBP", lossless=True, quality=100, method=4, exact=True)
    return buffer.getvalue()


def images_of(picture: bytes) -> np.ndarray:
    """The images of a sheet, uint8 (10000, 3, 32, 32)."""
    grid = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    side = grid.shape[0] // ROW
    return np.ascontiguousarray(grid.reshape(ROW, side, ROW, side, 3).transpose(0, 2, 4, 1, 3).reshape(ROW * ROW, 3, side, side))


def contents(data: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of everything that travels."""
    from datasets import cifar10
    from evaluator.extractors.inception import published

    tracked = subprocess.run(["git", "ls-files", "-z", *CODE], cwd=REPOSITORY, capture_output=True, check=True).stdout
    for name in tracked.decode().split("\0"):
        if name.endswith((".py", ".toml", ".json")):
            yield f"code/{name}", (REPOSITORY / name).read_bytes()
    loaded = cifar10.load(data)
    for split in ("train", "test"):
        images = getattr(loaded, f"x_{split}")
        for k in range(len(images) // ROW**2):
            yield f"images/{split}-{k}.webp", sheet(images[k * ROW**2 : (k + 1) * ROW**2])
        yield f"images/{split}-labels", getattr(loaded, f"y_{split}").tobytes()
    network = torch.jit.load(io.BytesIO(published()), map_location="cpu")  # type: ignore[no-untyped-call]
    buffer = io.BytesIO()
    torch.save({name: w.half() if w.is_floating_point() else w for name, w in network.state_dict().items()}, buffer)
    yield INCEPTION, buffer.getvalue()


def pack(data: Path, to: Path) -> None:
    """Write the parts, their manifest and the script that unpacks them."""
    to.mkdir(parents=True, exist_ok=True)
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for name, content in contents(data):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    everything = whole.getvalue()
    names = {}
    for k, start in enumerate(range(0, len(everything), PART), start=1):
        part = everything[start : start + PART]
        names[f"part-{k:02d}"] = hashlib.sha256(part).hexdigest()
        (to / f"part-{k:02d}").write_bytes(part)
    (to / MANIFEST).write_text(json.dumps(names, indent=1) + "\n")
    shutil.copyfile(__file__, to / "unpack.py")
    print(f"{to}: {len(names)} parts, {len(everything) / 2**20:.0f} MiB")


def unpack(parts: Path, to: Path) -> None:
    """Write code, data and weights from the parts; exits with a message where one is missing or damaged."""
    if not (parts / MANIFEST).exists():
        sys.exit(f"{parts / MANIFEST}: not there; carry it along with the parts")
    everything = b""
    for name, digest in json.loads((parts / MANIFEST).read_text()).items():
        content = (parts / name).read_bytes() if (parts / name).exists() else sys.exit(f"{parts / name}: this part is missing")
        if hashlib.sha256(content).hexdigest() != digest:
            sys.exit(f"{parts / name}: damaged; carry it again")
        everything += content
    with tarfile.open(fileobj=io.BytesIO(everything)) as archive:
        archive.extractall(to, filter="data")
    raw = to / "data" / "CIFAR10" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for split, name in (("train", "train"), ("test", "test")):
        sheets = sorted((to / "images").glob(f"{split}-*.webp"))
        images = np.concatenate([images_of(path.read_bytes()) for path in sheets])
        labels = np.frombuffer((to / "images" / f"{split}-labels").read_bytes(), np.uint8)
        _write_idx(raw / f"{name}-images-idx4-ubyte", images)
        _write_idx(raw / f"{name}-labels-idx1-ubyte", labels)
    shutil.rmtree(to / "images")
    print(
        f"{to}: code, data and weights; train with: python {to}/code/solutions/train_alone.py lab9/lab9_sngan --data {to}/data --out runs"
    )


def _write_idx(path: Path, array: np.ndarray) -> None:
    """Two bytes 0, the type of bytes, the number of dimensions, their sizes, the numbers."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(header + np.ascontiguousarray(array).tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    if Path(__file__).name == "unpack.py":
        parser.add_argument("parts", type=Path, help="folder of the parts")
        parser.add_argument("--to", type=Path, required=True, help="folder to write")
        options = parser.parse_args()
        unpack(options.parts, options.to)
        return
    parser.add_argument("command", choices=["pack", "unpack"])
    parser.add_argument("--data", type=Path, help="pack: folder of `grader data get`")
    parser.add_argument("--parts", type=Path, help="unpack: folder of the parts")
    parser.add_argument("--to", type=Path, required=True, help="folder to write")
    options = parser.parse_args()
    if options.command == "pack":
        pack(options.data, options.to) if options.data else parser.error("pack needs --data")
    else:
        unpack(options.parts, options.to) if options.parts else parser.error("unpack needs --parts")


if __name__ == "__main__":
    main()
