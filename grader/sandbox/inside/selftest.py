"""Runs inside the sandbox before any submission does: tries what must not work and reports what did. Standard library only.

Arguments: descriptor of the channel, and JSON with what to try: see `main`.
"""

import json
import os
import signal
import socket
import sys
from typing import Any


def _readable(path: str) -> bool:
    try:
        with open(path, "rb") as stream:  # noqa: PTH123
            stream.read(1)
    except OSError:
        return False
    return True


def _writable(folder: str) -> bool:
    file = f"{folder}/gan-grader-selftest"
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
        os.unlink(file)  # noqa: PTH108
    except OSError:
        return False
    return True


def _connects(address: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(address)
    except OSError:
        return False
    return True


def _internet_socket() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def _signals(pid: int) -> bool:
    """Whether that process could be killed; signal 0 only asks."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _others() -> list[int]:
    """Processes that /proc shows beside this one."""
    try:
        names = os.listdir("/proc")  # noqa: PTH208
    except OSError:
        return []
    return [int(name) for name in names if name.isdigit() and int(name) != os.getpid()]


def _descriptors(channel: int) -> list[int]:
    """Open descriptors that lead elsewhere than to the channel and the three standard streams."""
    found = []
    for number in range(3, 4096):
        try:
            os.fstat(number)
        except OSError:
            continue
        found.append(number)
    return [number for number in found if number != channel]


def main(channel: int, task: dict[str, Any]) -> None:
    """Send one line of JSON with what worked.

    task: private: files of ours that only we may read; open: files that everybody may; folders: where nothing must be written;
    world: a folder where everybody may write; address, abstract: of a service; pid: of the grader.
    """
    signal.alarm(60)
    findings = {
        "private": [file for file in task["private"] if _readable(file)],
        "open": [file for file in task["open"] if _readable(file)],
        "writes": [folder for folder in task["folders"] if _writable(folder)],
        "world": [folder for folder in (task["world"],) if _writable(folder)],
        "services": _connects(task["address"]),
        "abstract": _connects("\0" + task["abstract"]),
        "signals": _signals(task["pid"]),
        "internet": _internet_socket(),
        "processes": _others(),
        "root": os.getuid() == 0,
        "descriptors": _descriptors(channel),
    }
    os.write(channel, json.dumps(findings).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
