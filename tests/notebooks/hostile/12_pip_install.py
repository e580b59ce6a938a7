# %%
# ruff: noqa
import os
import subprocess
import sys
import sysconfig


def installed():
    command = [sys.executable, "-m", "pip", "install", "--retries=0", "--timeout=1", "einops"]
    return something(subprocess.run(command, capture_output=True).returncode == 0)


attempt("place for packages", lambda: os.mkdir(sysconfig.get_path("purelib") + "/evil"))
attempt("pip install", installed)
