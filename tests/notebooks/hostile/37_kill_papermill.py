# %%
# ruff: noqa
import os
import signal
import time

os.kill(1, signal.SIGKILL)
os.kill(1, signal.SIGSTOP)
os.kill(1, signal.SIGTERM)
os.kill(1, signal.SIGINT)  # the only one that Python has a handler for, so that process 1 gets it
time.sleep(1000)
