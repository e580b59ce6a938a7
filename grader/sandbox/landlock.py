"""Landlock: which files a process and all that descend from it may touch, and nothing beyond; for root and users alike, without namespaces.

A ruleset is made here, by the grader, and put into force by launcher.py just before the student's side starts. Standard library only, since
the kernel of a notebook uses it as well (`shield_from_descendants`).

Source: Linux, Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h.
"""

import ctypes
import enum
import os
import stat
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The same numbers on x86-64 and aarch64."""
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)


class Right(enum.IntFlag):
    """What can be done with a file or folder, by the kernel's bits."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15
    RESOLVE_UNIX = 1 << 16


HANDLED = (
    (1, Right(0x1FFF), "reading, writing, running, making and removing files: all that the first version knows"),
    (2, Right.REFER, "renames and links between folders; before, they fail anyway"),
    (3, Right.TRUNCATE, "truncate() needs no open file"),
    (5, Right.IOCTL_DEV, "drivers take commands by ioctl()"),
    (9, Right.RESOLVE_UNIX, "sockets of services, such as /run/docker.sock, are reached by path"),
)
"""(first ABI version that knows it, rights, why they are denied unless a rule grants them)"""

SCOPE_ABI = 6
"""Version that confines abstract sockets and signals to the domain; before, other means than Landlock have to."""
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2
_TCP_ABI, _TCP = 4, 3
"""Binding and connecting; seccomp refuses such sockets as well."""

READ = Right.EXECUTE | Right.READ_FILE | Right.READ_DIR
LIST = Right.READ_DIR
"""Names of files, not what is in them; of all folders beneath."""
OWN = Right(0x1FFF) & ~(Right.EXECUTE | Right.MAKE_CHAR | Right.MAKE_BLOCK) | Right.REFER | Right.TRUNCATE
"""Everything that a notebook does with files of its own."""
DEVICE = Right.READ_FILE | Right.WRITE_FILE | Right.IOCTL_DEV
_OF_FILES = Right.EXECUTE | Right.WRITE_FILE | Right.READ_FILE | Right.TRUNCATE | Right.IOCTL_DEV
"""The kernel refuses a rule that grants others on something that is no folder."""


def abi() -> int:
    """The version that the kernel offers; 0 where there is no Landlock, or it is turned off."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION)))


def build_ruleset(rules: Iterable[tuple[Path, Right]]) -> int:
    """A descriptor of a ruleset that denies everything that this kernel can deny, but for the rules; the caller closes it.

    rules: (file or folder, what is granted on it and on all beneath it); what does not exist is passed over.

    Raises:
        OSError: there is no Landlock here.
    """
    version = abi()
    handled = Right(0)
    for since, rights, _ in HANDLED:
        handled |= rights if version >= since else Right(0)
    scopes = _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS if version >= SCOPE_ABI else 0
    ruleset = _create(handled, _TCP if version >= _TCP_ABI else 0, scopes)
    try:
        for path, rights in rules:
            _grant(ruleset, path, rights & handled)
    except OSError:
        os.close(ruleset)
        raise
    return ruleset


def shield_from_descendants() -> bool:
    """From now on, this process and what descends from it reach nobody above them by a signal; whether the kernel can do that."""
    if abi() < SCOPE_ABI:
        return False
    ruleset = _create(Right(0), 0, _SCOPE_SIGNALS)
    try:
        _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
        _check(_libc.syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)
    return True


def _create(files: Right, network: int, scopes: int) -> int:
    """A new ruleset; older kernels take a longer structure as long as what they do not know is zero."""
    attributes = struct.pack("=QQQ", files, network, scopes)
    found = int(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))
    _check(found, "landlock_create_ruleset")
    return found


def _grant(ruleset: int, path: Path, rights: Right) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, place)
        _check(_libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0), f"landlock_add_rule {path}")
    finally:
        os.close(place)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
