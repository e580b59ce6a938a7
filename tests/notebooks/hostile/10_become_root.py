# %%
# ruff: noqa
import ctypes
import os
import stat
import struct

libc = ctypes.CDLL(None, use_errno=True)
attempt("setuid", lambda: os.setuid(0))
attempt("setgid", lambda: os.setgid(0))
attempt("setgroups", lambda: os.setgroups([0]))
libc.setfsuid(0)
attempt("setfsuid", lambda: something(libc.setfsuid(-1) == 0))
attempt("disk", lambda: os.mknod("@HOME@/disk", stat.S_IFBLK | 0o666, os.makedev(8, 0)))
attempt("kmem", lambda: os.mknod("@HOME@/mem", stat.S_IFCHR | 0o666, os.makedev(1, 1)))
attempt("chown", lambda: something(os.chown("@HOME@", 0, 0) or os.stat("@HOME@").st_uid == 0 != os.getuid()))
attempt("uid_map", lambda: write("/proc/self/uid_map", "0 0 4294967295"))


def capabilities():
    header, sets = struct.pack("Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
    call(libc.capget, header, sets)
    return any(struct.unpack("6I", sets.raw))


attempt("capabilities", lambda: something(capabilities()))
