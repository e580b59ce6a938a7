"""Which GPU an execution gets, and what of the machine it must see for that: the device nodes of one NVIDIA GPU, and facts about it.

Facts come from the driver's own files in /proc, so that the grader asks no tool and starts no CUDA. No GPU was at hand when this was
written: that CUDA is content with what is listed here was not tried (docs/security.md).
"""

import os
from dataclasses import dataclass
from pathlib import Path

from grader.errors import SandboxError

_DRIVER = Path("/proc/driver/nvidia")
_DEV = Path("/dev")
_SHARED_NODES = ("nvidiactl", "nvidia-uvm")
_PCI = Path("/sys/bus/pci/devices")
_FACTS = (_DRIVER, Path("/proc/devices"), Path("/sys/devices/system/node"), _PCI)
_LIBRARY = "libcuda.so.1"


@dataclass(frozen=True)
class Gpu:
    """uuid: as in CUDA_VISIBLE_DEVICES; nodes: devices to open; facts: files and folders to read.

    libraries: a folder with the driver's libraries, None where the system's linker finds them by itself.
    """

    uuid: str
    nodes: tuple[Path, ...]
    facts: tuple[Path, ...] = ()
    libraries: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the script: this GPU and no other, whatever CUDA counts."""
        found = {"CUDA_VISIBLE_DEVICES": self.uuid}
        return {**found, "LD_LIBRARY_PATH": str(self.libraries)} if self.libraries else found


def of_slot(slot: int) -> Gpu:
    """The GPU of a slot; slots take turns where there are more of them than GPUs.

    Raises:
        SandboxError: there is none; the message says what was looked for.
    """
    found = visible()
    return found[slot % len(found)]


def visible(driver: Path = _DRIVER, dev: Path = _DEV) -> tuple[Gpu, ...]:
    """The GPUs of this machine, or those of them that CUDA_VISIBLE_DEVICES of the grader's own environment names.

    Raises:
        SandboxError: there is none, or CUDA_VISIBLE_DEVICES names something else than GPUs of this machine.
    """
    gpus = [gpu for folder in sorted((driver / "gpus").glob("*")) if (gpu := _gpu(folder, dev))]
    if not gpus:
        raise SandboxError(
            f"found no NVIDIA GPU in {driver}, expected one for --device cuda: install the driver, or grade with --device cpu"
        )
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(gpus) if wanted is None else tuple(_named(name.strip(), gpus) for name in wanted.split(","))


def _gpu(folder: Path, dev: Path) -> Gpu | None:
    """The GPU that a folder of the driver describes; None where this machine, such as a container, has no device node for it."""
    lines = (line.partition(":") for line in (folder / "information").read_text().splitlines())
    told = {name.strip(): value.strip() for name, _, value in lines}
    node = dev / f"nvidia{told.get('Device Minor', '')}"
    if not told.get("Device Minor") or not node.exists():
        return None
    nodes = (node, *(dev / name for name in _SHARED_NODES))
    return Gpu(told["GPU UUID"], nodes, (*_FACTS, (_PCI / folder.name).resolve()), _libraries())


def _named(name: str, gpus: list[Gpu]) -> Gpu:
    """As CUDA reads a name: a number, or the beginning of a UUID."""
    if name.isdigit() and int(name) < len(gpus):
        return gpus[int(name)]
    found = [gpu for gpu in gpus if name.startswith("GPU-") and gpu.uuid.startswith(name)]
    if len(found) != 1:
        raise SandboxError(
            f"found {name!r} in CUDA_VISIBLE_DEVICES, expected a number below {len(gpus)} or a UUID such as {gpus[0].uuid} "
            "(parts of a GPU, MIG-…, cannot be passed to the sandbox)"
        )
    return found[0]


def _libraries() -> Path | None:
    """Containers may have the driver's libraries in a folder of LD_LIBRARY_PATH only."""
    folders = [Path(name) for name in os.environ.get("LD_LIBRARY_PATH", "").split(":") if name]
    return next((folder for folder in folders if (folder / _LIBRARY).exists()), None)
