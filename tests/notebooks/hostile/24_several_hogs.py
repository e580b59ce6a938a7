# %%
# ruff: noqa
import os
import time

for _ in range(3):
    if os.fork() == 0:
        break
kept = []
while len(kept) < 8:
    kept.append(bytes(b"x" * 20_000_000))
    time.sleep(0.05)
time.sleep(1000)
