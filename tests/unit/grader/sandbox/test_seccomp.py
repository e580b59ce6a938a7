import errno
import re
import struct
from pathlib import Path

import pytest

from grader.errors import SandboxError
from grader.sandbox.seccomp import MACHINES, METADATA, REFUSED, SHARED_IPC, build_filter

ALLOW = "allow"
KILL = "kill"
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06


def verdict(program: bytes, machine: str, number: int, *arguments: int) -> str | int:
    """What the kernel would do: an interpreter of the five instructions that are used. An int is an errno."""
    data = struct.pack("<IIQ6Q", number, MACHINES[machine].audit, 0, *arguments, *[0] * (6 - len(arguments)))
    operations = list(struct.iter_unpack("=HBBI", program))
    position, accumulator = 0, 0
    while True:
        code, if_true, if_false, value = operations[position]
        position += 1
        if code == LOAD:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif code == RETURN:
            return {0x7FFF: ALLOW, 0x8000: KILL}.get(value >> 16, value & 0xFFFF)
        else:
            holds = {EQUAL: accumulator == value, AT_LEAST: accumulator >= value, ANY_BIT: bool(accumulator & value)}[code]
            position += if_true if holds else if_false


@pytest.fixture(params=sorted(MACHINES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_refused_call_fails_with_its_error(machine: str) -> None:
    program = build_filter(allow_memfd=True, machine=machine)
    for call in REFUSED:
        number = call.numbers[MACHINES[machine].column]
        if number is not None:
            assert verdict(program, machine, number) == call.error, call.name


@pytest.mark.parametrize(
    ("x86", "arm"), [(0, 63), (1, 64), (59, 221), (231, 94), (9, 222)], ids=["read", "write", "execve", "exit", "mmap"]
)
def test_ordinary_calls_are_allowed(machine: str, x86: int, arm: int) -> None:
    assert verdict(build_filter(allow_memfd=True, machine=machine), machine, (x86, arm)[MACHINES[machine].column]) == ALLOW


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        (1, ALLOW),
        (2, errno.EACCES),
        (10, errno.EACCES),
        (16, errno.EOPNOTSUPP),
        (17, errno.EACCES),
        (38, errno.EACCES),
        (40, errno.EACCES),
    ],
    ids=["unix", "inet", "inet6", "netlink", "packet", "alg", "vsock"],
)
def test_only_unix_sockets(machine: str, family: int, expected: str | int) -> None:
    program = build_filter(allow_memfd=True, machine=machine)
    for numbers in ((41, 198), (53, 199)):
        assert verdict(program, machine, numbers[MACHINES[machine].column], family) == expected


def test_clone_may_make_processes_and_threads_but_no_namespaces(machine: str) -> None:
    program = build_filter(allow_memfd=True, machine=machine)
    number = (56, 220)[MACHINES[machine].column]
    assert verdict(program, machine, number, 17) == ALLOW  # SIGCHLD: fork
    assert verdict(program, machine, number, 0x3D0F00) == ALLOW  # pthread_create
    for flag in (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(program, machine, number, flag | 17) == errno.EPERM


def test_typing_into_terminals_is_refused(machine: str) -> None:
    program = build_filter(allow_memfd=True, machine=machine)
    number = (16, 29)[MACHINES[machine].column]
    assert [verdict(program, machine, number, 0, request) for request in (0x5412, 0x541C, 0x5401)] == [
        errno.EPERM,
        errno.EPERM,
        ALLOW,
    ]


def test_memfd_only_where_it_is_counted(machine: str) -> None:
    number = (319, 279)[MACHINES[machine].column]
    assert verdict(build_filter(allow_memfd=True, machine=machine), machine, number) == ALLOW
    assert verdict(build_filter(allow_memfd=False, machine=machine), machine, number) == errno.EPERM


def test_other_calling_conventions_are_killed() -> None:
    program = build_filter(allow_memfd=True, machine="x86_64")
    assert verdict(program, "aarch64", 0) == KILL
    assert verdict(program, "x86_64", 0x40000000) == KILL


def test_unknown_machines_are_refused() -> None:
    with pytest.raises(SandboxError, match="found a machine of type riscv64, expected x86_64 or aarch64"):
        build_filter(allow_memfd=True, machine="riscv64")


def test_without_an_ipc_namespace_shared_objects_are_refused(machine: str) -> None:
    for call in SHARED_IPC:
        number = call.numbers[MACHINES[machine].column]
        assert number is not None
        assert verdict(build_filter(allow_memfd=True, machine=machine), machine, number) == ALLOW
        assert verdict(build_filter(allow_memfd=True, namespaces=False, machine=machine), machine, number) == errno.EPERM


def test_as_the_graders_user_metadata_only_seem_to_change(machine: str) -> None:
    same = build_filter(allow_memfd=True, own_user=False, machine=machine)
    for call in METADATA:
        if (number := call.numbers[MACHINES[machine].column]) is not None:
            assert verdict(same, machine, number) == 0, call.name  # success, and nothing done
            assert verdict(build_filter(allow_memfd=True, machine=machine), machine, number) == ALLOW


def test_as_the_graders_user_limits_are_ones_own(machine: str) -> None:
    number = (302, 261)[MACHINES[machine].column]
    same = build_filter(allow_memfd=True, own_user=False, machine=machine)
    assert [verdict(same, machine, number, pid) for pid in (0, 1, 4711)] == [ALLOW, errno.EPERM, errno.EPERM]
    assert verdict(build_filter(allow_memfd=True, machine=machine), machine, number, 4711) == ALLOW


EVERY = (*REFUSED, *SHARED_IPC, *METADATA)


def test_each_entry_has_a_reason_and_one_number() -> None:
    assert all(call.reason for call in EVERY)
    for column in (0, 1):
        numbers = [call.numbers[column] for call in EVERY if call.numbers[column] is not None]
        assert len(numbers) == len(set(numbers))


HEADERS = {
    0: Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    1: Path("/usr/include/asm-generic/unistd.h"),  # what aarch64 uses
}


@pytest.mark.parametrize("column", [0, 1], ids=sorted(MACHINES, reverse=True))
def test_the_numbers_are_those_of_the_kernel(column: int) -> None:
    if not HEADERS[column].exists():
        pytest.skip(f"{HEADERS[column]} is not installed (linux-libc-dev)")
    pattern = re.compile(r"#define __NR(?:3264)?_(\w+)\s+(\d+)")
    known = {match[1]: int(match[2]) for match in pattern.finditer(HEADERS[column].read_text())}
    for call in EVERY:
        if call.name in known:  # older headers lack the newest calls
            assert call.numbers[column] == known[call.name], call.name
