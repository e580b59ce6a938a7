# %%
# ruff: noqa
import builtins
import io
import pathlib


def closed(*arguments, **options):
    raise OSError("nothing is opened here")


builtins.open = io.open = pathlib.Path.open = pathlib.Path.write_text = closed
