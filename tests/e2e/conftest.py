"""The sample class is built by a script in solutions/."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "solutions"))
