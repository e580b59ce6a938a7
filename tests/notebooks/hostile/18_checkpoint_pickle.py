# %%
# ruff: noqa
import pickle

with open(CHECKPOINT, "rb") as stream:
    status = pickle.load(stream)
attempt("its command", lambda: something(status == 0))
