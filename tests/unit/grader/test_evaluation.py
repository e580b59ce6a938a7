"""`grader evaluate` on the few real digits that the public pack holds."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from evaluator.evaluate import evaluate as measured
from evaluator.names import MetricName
from evaluator.pack import Pack, public_pack
from grader import cli, image_files
from grader.errors import UsageError
from grader.evaluation import evaluate, reference_of


@pytest.fixture(scope="module")
def pack() -> Pack:
    return public_pack("mnist")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def digits(pack: Pack, tmp_path: Path) -> Path:
    np.savez(tmp_path / "digits.npz", images=pack.samples, labels=pack.sample_labels)
    return tmp_path / "digits.npz"


def test_a_file_measures_as_its_array_does(pack: Pack, digits: Path) -> None:
    (row,) = evaluate(digits, "mnist", ["fid_train"]).rows
    expected = measured(pack.samples[image_files.order(260)], pack, ["fid260_train_indomain"])
    assert row.measurement == expected["fid260_train_indomain"]


def test_without_a_wish_everything_is_measured_that_a_pack_suffices_for(digits: Path) -> None:
    found = {row.request: row for row in evaluate(digits, "mnist", []).rows}
    assert found["fid"].measurement is not None
    assert found["class_agreement"].measurement is not None
    assert found["memorised"].measurement is not None
    assert found["memorised"].measurement.value == 1
    assert found["class_fid"].reason == "features of 26 images, expected at least 40"
    assert "kid" not in found


def test_a_misspelt_metric_is_refused_before_anything_is_measured(digits: Path) -> None:
    with pytest.raises(UsageError, match="no metric is called 'fud'"):
        evaluate(digits, "mnist", ["kid", "fud"])


def test_metrics_by_class_need_labels(pack: Pack, digits: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "digits.npy", pack.samples)
    assert "class_agreement" not in {row.request for row in evaluate(tmp_path / "digits.npy", "mnist", []).rows}
    found = evaluate(tmp_path / "digits.npy", "mnist", ["class_agreement", "fid"])
    assert "pass 260 labels" in found.rows[0].reason
    assert found.rows[1].measurement is not None
    assert found.missing == ["class_agreement"]
    np.save(tmp_path / "labels.npy", pack.sample_labels)
    (row,) = evaluate(tmp_path / "digits.npy", "mnist", ["class_agreement"], labels=tmp_path / "labels.npy").rows
    assert row.measurement is not None
    assert row.measurement.value == 1


def test_labels_that_do_not_fit_are_refused(pack: Pack, tmp_path: Path) -> None:
    np.save(tmp_path / "digits.npy", pack.samples)
    np.save(tmp_path / "labels.npy", pack.sample_labels[:-1])
    with pytest.raises(UsageError, match=r"259 labels for 260 images"):
        evaluate(tmp_path / "digits.npy", "mnist", ["class_agreement"], labels=tmp_path / "labels.npy")


def test_raw_data_that_are_needed_and_not_here_are_asked_for(digits: Path) -> None:
    (row,) = evaluate(digits, "mnist", ["kid"]).rows
    assert row.reason.endswith("run grader data get mnist")


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", np.zeros((50, 32, 32), np.uint8))
    with pytest.raises(UsageError, match=r"shape \(50, 32, 32\), expected \(n, 28, 28\)"):
        evaluate(tmp_path / "large.npy", "mnist", ["fid"])


@pytest.mark.parametrize("reference", ["mnits", "no/where"])
def test_an_unknown_reference_is_refused_with_the_known_ones(digits: Path, reference: str) -> None:
    with pytest.raises(UsageError, match=r"expected a data set \(mnist, fashion_mnist"):
        evaluate(digits, reference, ["fid"])


@pytest.mark.parametrize(("file", "split"), [("My_Photos.npz", "my-photos"), ("2024.npz", "images-2024"), ("写真.npz", "images")])
def test_a_reference_of_images_is_named_after_its_file(file: str, split: str, pack: Pack, tmp_path: Path) -> None:
    np.savez(tmp_path / file, images=pack.samples)
    (name,) = reference_of(str(tmp_path / file), None, None).splits
    assert name == split
    assert MetricName.parse(str(MetricName("fid", 260, name, "inception"))).reference == split


def test_the_command_prints_a_table_and_writes_json(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "out", Console(width=100))
    command = [
        "grader",
        "evaluate",
        str(digits),
        "--reference",
        "mnist",
        "--metrics",
        "fid, duplicates",
        "--json",
        str(tmp_path / "x.json"),
    ]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    shown = capsys.readouterr().out
    assert re.search(r"fid260_test_indomain +2\.\d+ ↓ +[01]\.\d+ … [34]\.\d+ ", shown)
    assert re.search(r"duplicates260_pixels +0 ↓ +0 … 0\.0\d+ ", shown)
    written = json.loads((tmp_path / "x.json").read_text())
    assert [m["name"] for m in written["measurements"]] == ["fid260_test_indomain", "duplicates260_pixels"]
    assert written["measurements"][1]["value"] == 0
    assert written["not_measured"] == []


def test_what_was_asked_for_by_name_and_cannot_be_measured_ends_with_status_2(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "out", Console(width=100))
    monkeypatch.setattr(sys, "argv", ["grader", "evaluate", str(digits), "--reference", "mnist", "--metrics", "fid,class_fid"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    shown = capsys.readouterr()
    assert "fid260_test_indomain" in shown.out
    assert shown.err == (
        "not measured: class_fid: features of 26 images, expected at least 40\n"
        "error: not measured, for the reasons above: class_fid\n"
    )
