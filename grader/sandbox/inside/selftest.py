"""Runs inside the sandbox before any submission does: tries what must not work and reports what did. Standard library only.

Arguments: descriptor of the channel, folder to write to, files that must not be readable.
"""

import json
import os
import socket
import sys


def _readable(path: str) -> bool:
    try:
        with open(path, "rb") as stream:  # noqa: PTH123
            stream.read(1)
    except OSError:
        return False
    return True


def _writable(folder: str) -> bool:
    try:
        os.close(os.open(f"{folder}/gan-grader-selftest", os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError:
        return False
    return True


def _internet_socket() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def _others() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]  # noqa: PTH208


def _descriptors(channel: int) -> list[int]:
    """Open descriptors that lead elsewhere than to the channel and the three standard streams."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            os.fstat(int(name))
        except OSError:  # the one that listed
            continue
        if int(name) > 2 and int(name) != channel:
            found.append(int(name))
    return found


def main(channel: int, folder: str, canaries: list[str]) -> None:
    """Send one line of JSON with the findings."""
    findings = {
        "canaries": [canary for canary in canaries if _readable(canary)],
        "internet": _internet_socket(),
        "writes": [place for place in ("/", "/usr", "/etc", "/in", folder) if _writable(place)],
        "processes": _others(),
        "uid": os.getuid(),
        "descriptors": _descriptors(channel),
    }
    os.write(channel, json.dumps(findings).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
