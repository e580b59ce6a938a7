# %%
# ruff: noqa
import pathlib

evil = "import os\nopen('@HOME@/shadow', 'a').write(__name__)\nos._exit(0)\n"
home = pathlib.Path.home()
for place in (pathlib.Path.cwd(), home):
    for name in ("numpy", "torch", "json", "sitecustomize", "usercustomize", "frames"):
        (place / f"{name}.py").write_text(evil)
for place in (".ipython/profile_default/startup", ".jupyter", ".config/matplotlib"):
    (home / place).mkdir(parents=True, exist_ok=True)
    (home / place / "00-evil.py").write_text(evil)
    (home / place / "ipython_config.py").write_text(evil)
attempt("beside the driver", lambda: pathlib.Path("@FOLDER@/json.py").write_text(evil))
attempt("shadow that ran", lambda: open("@HOME@/shadow").read())
