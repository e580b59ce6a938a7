#!/usr/bin/env bash
# Builds the image on Gradescope: a Python that the grader can use, and its packages as pinned, by their hashes.
set -euo pipefail
root=${1:-/autograder}
source=$root/source
export DEBIAN_FRONTEND=noninteractive

usable() { "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

python=
for name in python3.12 python3.13 python3.11 python3; do
    if usable "$name"; then python=$name; break; fi
done
if [ -z "$python" ]; then  # Ubuntu 22.04 has 3.10 alone
    apt-get -qq update
    apt-get -qq install --yes software-properties-common
    add-apt-repository --yes ppa:deadsnakes/ppa
    apt-get -qq install --yes python3.12 python3.12-venv
    python=python3.12
fi

"$python" -m venv "$root/venv"
"$root/venv/bin/python" -m pip install --quiet --no-cache-dir --require-hashes --requirement "$source/requirements.txt"
PYTHONPATH=$source/code "$root/venv/bin/python" -c 'import grader, torch; print("grader", grader.__version__, "torch", torch.__version__)'
du -sh "$root/venv"
# The secret and the packs are for root alone; student code runs under another user id.
chmod -R go-rwx "$source/course"
