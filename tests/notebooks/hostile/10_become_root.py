# %%
# ruff: noqa
import ctypes
import os
import stat

libc = ctypes.CDLL(None, use_errno=True)
attempt("setuid", lambda: os.setuid(0))
attempt("setgid", lambda: os.setgid(0))
attempt("setgroups", lambda: os.setgroups([0]))
libc.setfsuid(0)
attempt("setfsuid", lambda: something(libc.setfsuid(-1) == 0))
attempt("disk", lambda: os.mknod("/tmp/disk", stat.S_IFBLK | 0o666, os.makedev(8, 0)))
attempt("kmem", lambda: os.mknod("/tmp/mem", stat.S_IFCHR | 0o666, os.makedev(1, 1)))
attempt("chown", lambda: os.chown("/tmp", 0, 0))
attempt("uid_map", lambda: write("/proc/self/uid_map", "0 0 4294967295"))
capabilities = next(line for line in open("/proc/self/status") if line.startswith("CapEff"))
attempt("capabilities", lambda: something(int(capabilities.split()[1], 16)))
