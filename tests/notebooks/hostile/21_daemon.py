# %%
# ruff: noqa
import os
import signal
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        os.execv("/bin/sleep", ["sleep", "1000"])
    os._exit(0)
_ = os.wait()
