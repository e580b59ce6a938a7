# %%
# ruff: noqa
import time

time.sleep(10_000)
