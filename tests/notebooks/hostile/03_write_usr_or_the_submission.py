# %%
# ruff: noqa
import os
import sysconfig

attempt("/usr", lambda: open("/usr/x", "w"))
attempt("/etc", lambda: open("/etc/passwd", "w"))
attempt("the packages", lambda: open(sysconfig.get_path("purelib") + "/evil.pth", "w"))
attempt("the notebook", lambda: open("/in/notebook.ipynb", "w"))
attempt("the driver", lambda: open("/in/driver.py", "a"))
attempt("the driver's place", lambda: os.rename("/in/driver.py", "/in/old.py"))
attempt("the root", lambda: open("/x", "w"))
attempt("the neighbour", lambda: open("@NEIGHBOUR@/handin.pt", "w"))
