# %%
# ruff: noqa
print("before")

# %%
import os

os._exit(0)

# %%
print("after")
