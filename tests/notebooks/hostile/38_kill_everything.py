# %%
# ruff: noqa
import os
import signal

try:
    os.kill(-1, signal.SIGKILL)
except ProcessLookupError:
    pass  # nobody but process 1 and this one
os.kill(os.getpid(), signal.SIGKILL)
