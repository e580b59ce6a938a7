# %%
# ruff: noqa
import ctypes
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)
column = ("x86_64", "aarch64").index(platform.machine())
ATTACH, SEIZE = 16, 0x4206
PIDFD_GETFD, READV, KCMP = 438, (310, 270)[column], (312, 272)[column]

child = os.fork()
if not child:
    os.execv("/bin/sleep", ["sleep", "1000"])
for name, pid in (("driver", DRIVER), ("own child", child)):
    attempt(f"attach to {name}", lambda: call(libc.ptrace, ATTACH, pid, None, None))
    attempt(f"seize {name}", lambda: call(libc.ptrace, SEIZE, pid, None, None))
    attempt(f"read from {name}", lambda: call(libc.syscall, READV, pid, None, 0, None, 0, 0))
    attempt(f"compare with {name}", lambda: call(libc.syscall, KCMP, os.getpid(), pid, 0, 0, 0))
attempt("take the driver's channel", lambda: call(libc.syscall, PIDFD_GETFD, os.pidfd_open(DRIVER), 3, 0))
attempt("open the driver's memory", lambda: open(f"/proc/{DRIVER}/mem", "rb+"))
