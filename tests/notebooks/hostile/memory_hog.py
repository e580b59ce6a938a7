# %%
# ruff: noqa
# Grows in steps, so that a watchdog that looks ten times a second can see it as well.
import time

kept = []
while True:
    kept.append(bytes(b"x" * 20_000_000))
    time.sleep(0.02)
