# %%
# ruff: noqa
import os

attempt("its checkpoint", lambda: open("@NEIGHBOUR@/handin.pt").read())
attempt("its folder", lambda: os.listdir("@NEIGHBOUR@"))
attempt("through our root", lambda: open(f"/proc/{DRIVER}/root@NEIGHBOUR@/handin.pt").read())
attempt("through our working folder", lambda: os.listdir(f"/proc/{DRIVER}/cwd/"))
