# %%
# ruff: noqa
import os

with open("@HOME@/large", "wb") as stream:
    attempt("10 TB", lambda: os.truncate(stream.fileno(), 10 << 40))
    attempt("a byte far out", lambda: os.pwrite(stream.fileno(), b"x", 10 << 40))
attempt("in shared memory", lambda: os.truncate("/dev/shm/x", 10 << 40) if open("/dev/shm/x", "wb") else None)
