# %%
# ruff: noqa
import os
import sysconfig

attempt("/usr", lambda: open("/usr/x", "w"))
attempt("/etc", lambda: open("/etc/passwd", "w"))
attempt("the packages", lambda: open(sysconfig.get_path("purelib") + "/evil.pth", "w"))
attempt("the notebook", lambda: open("@FOLDER@/notebook.ipynb", "w"))
attempt("the driver", lambda: open("@FOLDER@/driver.py", "a"))
attempt("the driver's place", lambda: os.rename("@FOLDER@/driver.py", "@FOLDER@/old.py"))
attempt("the root", lambda: open("/x", "w"))
attempt("the neighbour", lambda: open("@NEIGHBOUR@/handin.pt", "w"))
