# %%
# ruff: noqa
import ctypes
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)
column = ("x86_64", "aarch64").index(platform.machine())
CLONE, CLONE3, SIGCHLD = (56, 220)[column], 435, 17
NEW = {"user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x8000000, "uts": 0x4000000}

for name, flag in NEW.items():
    attempt(f"unshare {name}", lambda: call(libc.unshare, flag))
    attempt(f"clone {name}", lambda: call(libc.syscall, CLONE, flag | SIGCHLD, 0, 0, 0, 0))
attempt("clone3", lambda: call(libc.syscall, CLONE3, bytes(88), 88))
attempt("setns", lambda: call(libc.setns, os.open("/proc/self/ns/user", os.O_RDONLY), 0))
attempt("mount", lambda: call(libc.mount, b"tmpfs", b"@HOME@", b"tmpfs", 0, None))
attempt("remount /usr", lambda: call(libc.mount, b"none", b"/usr", None, 32 | 4096, None))
attempt("umount", lambda: call(libc.umount2, b"@FOLDER@", 2))
attempt("chroot", lambda: os.chroot("@HOME@"))
attempt("pivot_root", lambda: call(libc.syscall, (155, 41)[column], b"@HOME@", b"@HOME@"))
