"""What a GPU's sandbox is given, from files like those of NVIDIA's driver; no GPU is needed, and none is used."""

from pathlib import Path

import pytest

from grader.errors import SandboxError
from grader.sandbox import gpu
from grader.sandbox.bubblewrap import _gpu_options
from grader.sandbox.confined import _gpu_rules
from grader.sandbox.gpu import Gpu, of_slot, visible
from grader.sandbox.landlock import DEVICE, READ

UUIDS = ("GPU-1f3a0000-aaaa-bbbb-cccc-000000000000", "GPU-2b4c0000-aaaa-bbbb-cccc-000000000001")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """(driver's folder, devices) of a machine with two GPUs; the lower address has the higher minor number."""
    driver, dev = tmp_path / "nvidia", tmp_path / "dev"
    dev.mkdir()
    for number, (address, uuid) in enumerate(zip(("0000:17:00.0", "0000:65:00.0"), UUIDS, strict=True)):
        folder = driver / "gpus" / address
        folder.mkdir(parents=True)
        lines = f"Model: \t\t NVIDIA H100\nIRQ:   \t\t 42\nGPU UUID: \t {uuid}\nBus Location: \t {address}\nDevice Minor: \t {1 - number}\n"
        (folder / "information").write_text(lines)
        (dev / f"nvidia{number}").touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    return driver, dev


def test_each_gpu_has_its_node_and_the_shared_ones(machine: tuple[Path, Path]) -> None:
    first, second = visible(*machine)
    dev = machine[1]
    assert (first.uuid, first.nodes) == (UUIDS[0], (dev / "nvidia1", dev / "nvidiactl", dev / "nvidia-uvm"))
    assert (second.uuid, second.nodes[0]) == (UUIDS[1], dev / "nvidia0")
    assert first.environment == {"CUDA_VISIBLE_DEVICES": UUIDS[0]}
    assert Path("/sys/bus/pci/devices/0000:17:00.0") in first.facts


def test_a_container_has_the_gpus_whose_nodes_it_has(machine: tuple[Path, Path]) -> None:
    (machine[1] / "nvidia1").unlink()
    assert [found.uuid for found in visible(*machine)] == [UUIDS[1]]


@pytest.mark.parametrize(
    ("wanted", "found"), [("1", [UUIDS[1]]), ("1,0", [UUIDS[1], UUIDS[0]]), ("GPU-2b4c", [UUIDS[1]]), (UUIDS[0], [UUIDS[0]])]
)
def test_the_graders_own_choice_of_gpus_holds(
    machine: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, wanted: str, found: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", wanted)
    assert [one.uuid for one in visible(*machine)] == found


@pytest.mark.parametrize("wanted", ["2", "MIG-1f3a", "GPU-", "", "-1"])
def test_a_choice_that_names_no_gpu_is_an_error(machine: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", wanted)
    with pytest.raises(
        SandboxError, match=f"found '{wanted}' in CUDA_VISIBLE_DEVICES, expected a number below 2 or a UUID such as GPU-1f3a"
    ):
        visible(*machine)


def test_without_a_gpu_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"found no NVIDIA GPU in .*: install the driver, or grade with --device cpu"):
        visible(tmp_path, tmp_path)


def test_slots_take_turns(machine: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    found = visible(*machine)
    monkeypatch.setattr(gpu, "visible", lambda: found)
    assert [of_slot(slot).uuid for slot in range(4)] == [UUIDS[0], UUIDS[1], UUIDS[0], UUIDS[1]]


def test_libraries_that_only_a_path_names_are_passed_on(
    machine: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libcuda.so.1").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere::{tmp_path}/lib")
    found = visible(*machine)[0]
    assert found.libraries == tmp_path / "lib"
    assert found.environment["LD_LIBRARY_PATH"] == str(tmp_path / "lib")


ONE = Gpu(
    "GPU-1",
    (Path("/dev/nvidia1"), Path("/dev/nvidiactl")),
    (Path("/proc/driver/nvidia"), Path("/sys/bus/pci/devices")),
    Path("/opt/cuda"),
)


def test_bubblewrap_binds_these_nodes_and_no_other() -> None:
    options = list(_gpu_options(ONE))
    bound = [
        tuple(options[i : i + 3]) for i in range(len(options) - 2) if options[i] in ("--dev-bind", "--ro-bind-try", "--ro-bind")
    ]
    assert bound == [
        ("--dev-bind", "/dev/nvidia1", "/dev/nvidia1"),
        ("--dev-bind", "/dev/nvidiactl", "/dev/nvidiactl"),
        ("--ro-bind-try", "/sys/bus/pci/devices", "/sys/bus/pci/devices"),
        ("--ro-bind", "/opt/cuda", "/opt/cuda"),
    ]
    assert list(_gpu_options(None)) == []


def test_landlock_opens_these_nodes_and_no_other() -> None:
    assert _gpu_rules(ONE) == [
        (Path("/dev/nvidia1"), DEVICE),
        (Path("/dev/nvidiactl"), DEVICE),
        (Path("/proc/driver/nvidia"), READ),
        (Path("/sys/bus/pci/devices"), READ),
        (Path("/opt/cuda"), READ),
    ]
    assert _gpu_rules(None) == []
