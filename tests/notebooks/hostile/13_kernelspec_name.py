# ---
# jupyter:
#   kernelspec:
#     display_name: "; touch /tmp/pwned"
#     language: bash
#     name: ../../../../tmp/evil
# ---
# %%
# ruff: noqa
import sys

attempt("another kernel", lambda: something("grader_kernel" not in sys.modules))
attempt("what its name says", lambda: open("@HOME@/pwned"))
