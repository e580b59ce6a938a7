# %%
# ruff: noqa
# Where no cgroup counts a memfd, it is refused; what is left is shared memory without a name.
import mmap
import os
import time

kept = []
while True:
    try:
        os.write(os.memfd_create("kept"), b"x" * 20_000_000)
    except PermissionError:
        kept.append(mmap.mmap(-1, 20_000_000))
        kept[-1].write(b"x" * 20_000_000)
    time.sleep(0.02)
