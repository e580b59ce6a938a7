# %%
# ruff: noqa
import os
import time

while True:
    os.write(os.memfd_create("kept"), b"x" * 20_000_000)
    time.sleep(0.02)
