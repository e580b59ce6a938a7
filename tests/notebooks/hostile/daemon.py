# %%
# ruff: noqa
# A double-forked daemon that ignores signals and outlives the notebook, if it can.
import os
import signal
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        os.execv("/bin/sleep", ["@MARK@", "1000"])
    os._exit(0)
os.wait()
time.sleep(0.2)


def generate(n):
    import numpy as np

    return np.zeros((n, 2, 2), np.uint8)
