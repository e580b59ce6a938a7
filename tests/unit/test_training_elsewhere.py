"""What travels to a machine without a network: checkpoints in few bytes, a training without papermill, data in parts."""

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.cifar10 import DATASET
from datasets.idx import decode

SOLUTIONS = Path(__file__).parents[2] / "solutions"
sys.path.insert(0, str(SOLUTIONS))

import train_alone  # noqa: E402
import train_pack  # noqa: E402
from train import deflated, store_half  # noqa: E402

SCRIPT = """
# %% [markdown]
# # Counting

# %% tags=["parameters"]
TRAIN = False
DEVICE = "auto"

# %%
epochs = 9
done = []


def evaluated(network):
    network.train()


def save_progress(epoch):
    done.append(epoch)
    record.extend(done[-1:])


# %% tags=["optional"]
raise RuntimeError("a picture")


# %%
def train():
    assert TRAIN and DEVICE == "cpu"
    for epoch in range(epochs):
        save_progress(epoch)


# %%
if TRAIN:
    train()

# %%
raise RuntimeError("after the training")
"""


@pytest.fixture
def record(monkeypatch):
    """Epochs that the script saved."""
    saved: list[int] = []
    monkeypatch.setattr("builtins.record", saved, raising=False)
    return saved


def test_a_script_runs_to_its_training_without_its_pictures(record):
    train_alone.run(SCRIPT, {"TRAIN": True, "DEVICE": "cpu"}, {"epochs": "4"}, time.time() + 60)
    assert record == [0, 1, 2, 3]


def test_a_piece_ends_with_the_epoch_in_which_its_time_passes(record):
    with pytest.raises(train_alone.TimeIsUpError):
        train_alone.run(SCRIPT, {"TRAIN": True, "DEVICE": "cpu"}, {}, time.time() - 1)
    assert record == [0]


@pytest.mark.parametrize("script", sorted(SOLUTIONS.glob("lab*/lab*.py")), ids=lambda path: path.stem)
def test_the_cells_of_every_solution_are_told_apart(script):
    cells = list(train_alone.code_cells(script.read_text()))
    assert sum("parameters" in heading for heading, _ in cells) == 1
    assert any("def save_progress" in source for _, source in cells)
    (starts,) = (number for number, (_, source) in enumerate(cells) if train_alone._TRAINING.search(source))
    (defined,) = (number for number, (_, source) in enumerate(cells) if "\ndef train():" in source)
    assert starts == defined + 1
    for _, source in cells:
        compile(source, script.stem, "exec")


def test_a_notebook_that_there_is_not_is_answered_by_those_that_there_are(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        train_alone.main(["lab9/nothing", "--data", str(tmp_path), "--out", str(tmp_path / "run")])
    assert "there is no notebook lab9/nothing; there are: lab10/lab10_csagan" in capsys.readouterr().err


def test_rounded_checkpoints_are_smaller_and_nearly_the_same(tmp_path):
    torch.manual_seed(0)
    state = {"weight": torch.randn(64, 32, 3, 3), "bias": torch.randn(64), "steps": torch.tensor(7), "empty": torch.zeros(3, 4)}
    torch.save(state, tmp_path / "whole.pt")
    store_half(tmp_path / "whole.pt", tmp_path / "small.pt")
    kept = torch.load(tmp_path / "small.pt", weights_only=True)
    assert kept["weight"].dtype == torch.float16 and kept["steps"] == 7 and not kept["empty"].any()
    step = state["weight"].flatten(1).abs().amax(1) / 127
    assert ((kept["weight"].float() - state["weight"]).flatten(1).abs().amax(1) <= step * 1.001).all()
    assert torch.equal(kept["bias"], state["bias"].half())
    assert (tmp_path / "small.pt").stat().st_size < 0.4 * (tmp_path / "whole.pt").stat().st_size


def test_storing_again_changes_nothing(tmp_path):
    torch.save({"weight": torch.randn(16, 40)}, tmp_path / "a.pt")
    store_half(tmp_path / "a.pt", tmp_path / "b.pt")
    store_half(tmp_path / "b.pt", tmp_path / "c.pt")
    assert (tmp_path / "b.pt").read_bytes() == (tmp_path / "c.pt").read_bytes()


def test_a_deflated_checkpoint_loads_as_before():
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(1000.0)}, buffer)
    loaded = torch.load(io.BytesIO(deflated(buffer.getvalue())), weights_only=True)
    assert torch.equal(loaded["weight"], torch.arange(1000.0))


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A small data set in parts, and its arrays."""
    random = np.random.default_rng(0)
    arrays = {
        "x_train": random.integers(0, 256, (32, 3, 32, 32)).astype(np.uint8),
        "y_train": random.integers(0, 10, 32).astype(np.uint8),
        "x_test": random.integers(0, 256, (16, 3, 32, 32)).astype(np.uint8),
        "y_test": random.integers(0, 10, 16).astype(np.uint8),
    }
    monkeypatch.setattr(train_pack, "ROW", 4)
    monkeypatch.setattr(train_pack, "PART", 40_000)

    def contents(data):
        yield "code/solutions/train_alone.py", b"print('here')"
        for split in ("train", "test"):
            images = arrays[f"x_{split}"]
            for k in range(len(images) // 16):
                yield f"images/{split}-{k}.webp", train_pack.sheet(images[16 * k : 16 * k + 16])
            yield f"images/{split}-labels", arrays[f"y_{split}"].tobytes()
        yield train_pack.INCEPTION, b"weights"

    monkeypatch.setattr(train_pack, "contents", contents)
    train_pack.pack(tmp_path / "data", tmp_path / "parts")
    return tmp_path / "parts", arrays


def test_what_was_packed_is_unpacked_byte_for_byte(parts, tmp_path):
    folder, arrays = parts
    assert len(json.loads((folder / train_pack.MANIFEST).read_text())) > 2
    assert all(part.stat().st_size <= 40_000 for part in folder.glob("part-*"))
    train_pack.unpack(folder, tmp_path / "work")
    for key, name in DATASET.files.items():
        found = decode((tmp_path / "work" / "data" / "CIFAR10" / "raw" / name).read_bytes(), name)
        assert np.array_equal(found, arrays[key])
    assert (tmp_path / "work" / train_pack.INCEPTION).read_bytes() == b"weights"
    assert (tmp_path / "work" / "code" / "solutions" / "train_alone.py").exists()


def test_a_damaged_or_missing_part_is_named(parts, tmp_path):
    folder, _ = parts
    (folder / "part-02").write_bytes(b"other")
    with pytest.raises(SystemExit, match="part-02: damaged; carry it again"):
        train_pack.unpack(folder, tmp_path / "work")
    (folder / "part-02").unlink()
    with pytest.raises(SystemExit, match="part-02: this part is missing"):
        train_pack.unpack(folder, tmp_path / "work")
    (folder / train_pack.MANIFEST).unlink()
    with pytest.raises(SystemExit, match=r"parts.json: not there"):
        train_pack.unpack(folder, tmp_path / "work")


def test_the_unpacking_script_needs_no_repository(parts, tmp_path):
    folder, _ = parts
    text = (folder / "unpack.py").read_text().replace("ROW = 100", "ROW = 4")
    (folder / "unpack.py").write_text(text)
    subprocess.run([sys.executable, "-I", folder / "unpack.py", folder, "--to", tmp_path / "there"], check=True, cwd=tmp_path)
    assert (tmp_path / "there" / "data" / "CIFAR10" / "raw" / "test-labels-idx1-ubyte").stat().st_size == 8 + 16
