# %%
# ruff: noqa
# Tries to look and reach outside. Each line of output starts with what was tried.
import ctypes
import os
import socket
import struct


def attempt(name, action):
    try:
        result = action()
    except FileNotFoundError:
        result = "not there"
    except OSError:
        result = "refused"
    print(f"{name}: {result}")


attempt("read canary", lambda: open("@CANARY@").read())
attempt("read repository", lambda: open("@REPOSITORY@/pyproject.toml").read())
attempt("write beside canary", lambda: open("@CANARY@.stolen", "w").write("x"))
attempt("write /usr", lambda: open("/usr/x", "w").write("x"))
attempt("overwrite the notebook", lambda: open("/in/notebook.ipynb", "w").write("x"))

# %%
for name in ("AF_INET", "AF_INET6", "AF_PACKET", "AF_ALG", "AF_VSOCK"):
    attempt(name, lambda name=name: socket.socket(getattr(socket, name), socket.SOCK_STREAM) and "open")
attempt("dns", lambda: socket.getaddrinfo("example.org", 80) and "resolved")

# %%
# The driver is process 1: its descriptors, memory and environment.
libc = ctypes.CDLL(None, use_errno=True)


def call(function, *arguments):
    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return "done"


attempt("driver's descriptors", lambda: os.listdir("/proc/1/fd"))
attempt("driver's environment", lambda: open("/proc/1/environ").read())
attempt("ptrace driver", lambda: call(libc.ptrace, 16, 1, 0, 0))
attempt("pidfd_getfd", lambda: call(libc.syscall, 438, os.pidfd_open(1), 3, 0))
attempt("unshare", lambda: call(libc.unshare, 0x10000000))
attempt("mount", lambda: call(libc.mount, b"/usr", b"/tmp", None, 4096, None))
attempt("setuid 0", lambda: os.setuid(0))
attempt("io_uring", lambda: call(libc.syscall, 425, 8, 0))
attempt("core_pattern", lambda: open("/proc/sys/kernel/core_pattern", "w").write("x"))


# %%
# A socket whose peer is process 0 (outside of this pid namespace) would be the grader's channel.
def channels():
    found = []
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            peer = socket.socket(fileno=os.dup(number)).getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        except OSError:
            continue
        found += [number] if struct.unpack("3i", peer)[0] == 0 else []
    return found


attempt("inherited channels", channels)
attempt("processes seen", lambda: all(int(pid) < 1000 for pid in os.listdir("/proc") if pid.isdigit()))

# %%
print("score: 100")
print('{"score": 100}')
import atexit

atexit.register(print, "score: 100")


def generate(n):
    import numpy as np

    return np.zeros((n, 2, 2), np.uint8)
