# %%
# ruff: noqa
block = bytes(1 << 20)
written = 0
try:
    while True:
        with open(f"@HOME@/{written}", "wb") as stream:
            stream.write(block)
        written += 1
except OSError as error:
    attempt("more than 64 MB", lambda: something(written > 64))
    with open("@HOME@/last", "wb", buffering=0) as stream:
        try:
            while stream.write(b"x"):
                pass
        except OSError:
            pass
