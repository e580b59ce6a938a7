"""The system calls that student code is refused, compiled to a seccomp filter (classic BPF) without any library.

Everything not named here is allowed: namespaces or Landlock, the lack of capabilities and the cgroup do the confining. The filter closes
what those leave open: kernel interfaces with a history of escalations, other address families than AF_UNIX (a network namespace
stops neither AF_VSOCK nor AF_ALG), new namespaces, and memory that no accounting would see; and where there are no namespaces, what they
would have kept apart.
"""

import errno
import platform
import struct
from dataclasses import dataclass

from grader.errors import SandboxError

_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_OFFSET, _ARCH_OFFSET, _FIRST_ARGUMENT_OFFSET = 0, 4, 16
_X32_BIT = 0x40000000


@dataclass(frozen=True)
class Machine:
    """audit: AUDIT_ARCH constant; column: of the numbers in the tables below."""

    audit: int
    column: int


MACHINES = {"x86_64": Machine(0xC000003E, 0), "aarch64": Machine(0xC00000B7, 1)}


@dataclass(frozen=True)
class Refused:
    """A call that always fails with `error`. numbers: on x86_64 and on aarch64, None where it does not exist."""

    name: str
    numbers: tuple[int | None, int | None]
    reason: str
    error: int = errno.EPERM


_OTHER_PROCESSES = "reads or changes other processes"
_MOUNTS = "changes what files the sandbox sees"
_KERNEL = "changes the kernel or the machine"
_ESCALATION = "large kernel surface with a history of escalations, of no use to a notebook"

REFUSED = (
    Refused("ptrace", (101, 117), _OTHER_PROCESSES),
    Refused("process_vm_readv", (310, 270), _OTHER_PROCESSES),
    Refused("process_vm_writev", (311, 271), _OTHER_PROCESSES),
    Refused("process_madvise", (440, 440), _OTHER_PROCESSES),
    Refused("kcmp", (312, 272), _OTHER_PROCESSES),
    Refused("pidfd_getfd", (438, 438), "takes descriptors, such as the driver's channel, from other processes"),
    Refused("bpf", (321, 280), _ESCALATION),
    Refused("userfaultfd", (323, 282), _ESCALATION),
    Refused("perf_event_open", (298, 241), _ESCALATION),
    Refused("keyctl", (250, 219), "keyrings are shared beyond the sandbox"),
    Refused("add_key", (248, 217), "keyrings are shared beyond the sandbox"),
    Refused("request_key", (249, 218), "keyrings are shared beyond the sandbox"),
    Refused("io_uring_setup", (425, 425), "performs calls that this filter does not see", errno.ENOSYS),
    Refused("io_uring_enter", (426, 426), "performs calls that this filter does not see", errno.ENOSYS),
    Refused("io_uring_register", (427, 427), "performs calls that this filter does not see", errno.ENOSYS),
    Refused("unshare", (272, 97), "makes namespaces"),
    Refused("setns", (308, 268), "enters namespaces"),
    Refused("clone3", (435, 435), "its flags lie in memory, out of the filter's sight; libc falls back to clone", errno.ENOSYS),
    Refused("mount", (165, 40), _MOUNTS),
    Refused("umount2", (166, 39), _MOUNTS),
    Refused("pivot_root", (155, 41), _MOUNTS),
    Refused("chroot", (161, 51), _MOUNTS),
    Refused("open_tree", (428, 428), _MOUNTS),
    Refused("move_mount", (429, 429), _MOUNTS),
    Refused("fsopen", (430, 430), _MOUNTS),
    Refused("fsconfig", (431, 431), _MOUNTS),
    Refused("fsmount", (432, 432), _MOUNTS),
    Refused("fspick", (433, 433), _MOUNTS),
    Refused("mount_setattr", (442, 442), _MOUNTS),
    Refused("name_to_handle_at", (303, 264), "opens files by handle, past the mount namespace"),
    Refused("open_by_handle_at", (304, 265), "opens files by handle, past the mount namespace"),
    Refused("fanotify_init", (300, 262), "watches whole file systems"),
    Refused("kexec_load", (246, 104), _KERNEL),
    Refused("kexec_file_load", (320, 294), _KERNEL),
    Refused("init_module", (175, 105), _KERNEL),
    Refused("finit_module", (313, 273), _KERNEL),
    Refused("delete_module", (176, 106), _KERNEL),
    Refused("swapon", (167, 224), _KERNEL),
    Refused("swapoff", (168, 225), _KERNEL),
    Refused("reboot", (169, 142), _KERNEL),
    Refused("quotactl", (179, 60), _KERNEL),
    Refused("syslog", (103, 116), "reads the kernel log"),
    Refused("acct", (163, 89), _KERNEL),
    Refused("settimeofday", (164, 170), _KERNEL),
    Refused("clock_settime", (227, 112), _KERNEL),
    Refused("sethostname", (170, 161), _KERNEL),
    Refused("setdomainname", (171, 162), _KERNEL),
    Refused("vhangup", (153, 58), _KERNEL),
    Refused("iopl", (172, None), _KERNEL),
    Refused("ioperm", (173, None), _KERNEL),
    Refused("modify_ldt", (154, None), _ESCALATION),
    Refused("personality", (135, 92), "turns off address randomisation"),
    Refused("migrate_pages", (256, 238), _OTHER_PROCESSES),
    Refused("move_pages", (279, 239), _OTHER_PROCESSES),
    Refused("memfd_secret", (447, 447), "memory that cannot be looked into"),
)

_MEMFD_CREATE = Refused("memfd_create", (319, 279), "memory that the watchdog would not count")

_SHARED = "an object that everybody on the machine sees, and that outlives the execution"
SHARED_IPC = (
    Refused("shmget", (29, 194), _SHARED),
    Refused("msgget", (68, 186), _SHARED),
    Refused("semget", (64, 190), _SHARED),
    Refused("mq_open", (240, 180), _SHARED),
)
"""An IPC namespace keeps these apart, where there is one."""

_METADATA = "changes files of the grader's user, and Landlock lets it; notebooks need it to seem to work, so it says that it did"
METADATA = (
    Refused("chmod", (90, None), _METADATA, 0),
    Refused("fchmod", (91, 52), _METADATA, 0),
    Refused("fchmodat", (268, 53), _METADATA, 0),
    Refused("fchmodat2", (452, 452), _METADATA, 0),
    Refused("chown", (92, None), _METADATA, 0),
    Refused("fchown", (93, 55), _METADATA, 0),
    Refused("lchown", (94, None), _METADATA, 0),
    Refused("fchownat", (260, 54), _METADATA, 0),
    Refused("utime", (132, None), _METADATA, 0),
    Refused("utimes", (235, None), _METADATA, 0),
    Refused("futimesat", (261, None), _METADATA, 0),
    Refused("utimensat", (280, 88), _METADATA, 0),
    Refused("setxattr", (188, 5), _METADATA, 0),
    Refused("lsetxattr", (189, 6), _METADATA, 0),
    Refused("fsetxattr", (190, 7), _METADATA, 0),
    Refused("removexattr", (197, 14), _METADATA, 0),
    Refused("lremovexattr", (198, 15), _METADATA, 0),
    Refused("fremovexattr", (199, 16), _METADATA, 0),
    Refused("setxattrat", (463, 463), _METADATA, 0),
    Refused("removexattrat", (466, 466), _METADATA, 0),
    Refused("file_setattr", (469, 469), _METADATA, 0),
)
"""Where the slot has no user of its own; an error of 0 is success without effect."""

_PRLIMIT = (302, 261)
"""On other processes of the same user, it could end the grader by a limit."""

_CLONE = (56, 220)
_NEW_NAMESPACES = 0x7E020080
"""CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET | NEWTIME"""

_IOCTL = (16, 29)
_TERMINAL_INJECTION = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX type into the terminal of whoever started the grader."""

_SOCKETS = ((41, 198), (53, 199))
"""socket, socketpair"""
_AF_UNIX, _AF_NETLINK = 1, 16


def build_filter(*, allow_memfd: bool, namespaces: bool = True, own_user: bool = True, machine: str | None = None) -> bytes:
    """The filter as an array of `struct sock_filter`, for `bwrap --seccomp` or prctl(PR_SET_SECCOMP).

    allow_memfd: only where a cgroup counts the memory of the execution. namespaces: whether the execution has an IPC namespace of its own.
    own_user: whether no process of ours runs under the user id of the execution.

    Raises:
        SandboxError: no table for this kind of machine.
    """
    name = machine or platform.machine()
    if name not in MACHINES:
        raise SandboxError(f"found a machine of type {name}, expected {' or '.join(MACHINES)}: run the grader on such a machine")
    target = MACHINES[name]
    program = [_op(_LOAD, _ARCH_OFFSET), _op(_JUMP_EQUAL, target.audit, 1, 0), _op(_RETURN, _KILL_PROCESS)]
    program.append(_op(_LOAD, _NUMBER_OFFSET))
    if name == "x86_64":  # the x32 calls have numbers of their own, which the tables do not cover
        program += [_op(_JUMP_AT_LEAST, _X32_BIT, 0, 1), _op(_RETURN, _KILL_PROCESS)]
    refused = [*REFUSED, *(() if allow_memfd else (_MEMFD_CREATE,)), *(() if namespaces else SHARED_IPC)]
    for call in [*refused, *(() if own_user else METADATA)]:
        number = call.numbers[target.column]
        if number is not None:
            program += [_op(_JUMP_EQUAL, number, 0, 1), _fail(call.error)]
    program += _on(_CLONE[target.column], 0, [_op(_JUMP_ANY_BIT, _NEW_NAMESPACES, 0, 1), _fail(errno.EPERM)])
    if not own_user:
        own_limits = [_op(_JUMP_EQUAL, 0, 1, 0), _fail(errno.EPERM)]
        program += _on(_PRLIMIT[target.column], 0, own_limits)
    injection = [op for request in _TERMINAL_INJECTION for op in (_op(_JUMP_EQUAL, request, 0, 1), _fail(errno.EPERM))]
    program += _on(_IOCTL[target.column], 1, injection)
    for numbers in _SOCKETS:
        program += _on(numbers[target.column], 0, _families())
    return b"".join([*program, _op(_RETURN, _ALLOW)])


def _families() -> list[bytes]:
    """AF_UNIX only. libzmq aborts the kernel unless asking for the network interfaces fails as "not supported"."""
    return [
        _op(_JUMP_EQUAL, _AF_UNIX, 0, 1),
        _op(_RETURN, _ALLOW),
        _op(_JUMP_EQUAL, _AF_NETLINK, 0, 1),
        _fail(errno.EOPNOTSUPP),
        _fail(errno.EACCES),
    ]


def _on(number: int, argument: int, body: list[bytes]) -> list[bytes]:
    """For call `number`: run `body` on the low word of its argument (0-based); allow it where the body does not decide."""
    load = _op(_LOAD, _FIRST_ARGUMENT_OFFSET + 8 * argument)
    return [_op(_JUMP_EQUAL, number, 0, len(body) + 2), load, *body, _op(_RETURN, _ALLOW)]


def _fail(error: int) -> bytes:
    return _op(_RETURN, _ERRNO | error)


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
