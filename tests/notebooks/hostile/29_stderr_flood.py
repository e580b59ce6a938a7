# %%
# ruff: noqa
import os
import sys

while True:
    os.write(2, b"y" * 10_000)
    print("z" * 10_000, file=sys.stderr)
