# `make demo` grades a sample class, `make test` runs all checks; both install what is missing into .venv first.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
DEMO ?= lab8
WORKERS ?= 2

DEVICE ?= cpu
DATA ?= data
RUNS ?= runs
PACK ?= train-pack

.PHONY: help install demo train-lab9 pack-train unpack-train test test-fast test-slow hostile lint format docs lock clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.tools/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; found $$($(PYTHON) --version). Try make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .tools 2>/dev/null || { rm -rf .tools; test "$$(id -u)" = 0 && apt-get -qq install --yes python3-venv && $(PYTHON) -m venv .tools; } \
		|| { echo "Python's venv module is missing: as root, apt-get install python3-venv, then again"; rm -rf .tools; exit 1; }
	@.tools/bin/python -m pip install --quiet uv

$(BIN)/grader: requirements.lock pyproject.toml $(filter .tools/bin/uv,$(UV))
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) $(VENV)
	@echo "Installing the pinned packages (PyTorch is large: a minute or a few) ..."
	@$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --constraint requirements.lock --editable '.[dev,inception,web]'
	@touch $@

install: $(BIN)/grader  ## make .venv with the grader and everything that it needs

demo: install  ## make a sample class in lab8/ and grade it
	@$(BIN)/python solutions/sample_class.py demo $(DEMO) --workers $(WORKERS)

train-lab9: install  ## train lab 9's reference models again: DEVICE=cuda, DATA= and RUNS= folders
	@for task in sngan cdcgan; do $(BIN)/python solutions/train.py lab9/lab9_$$task --data $(DATA) --out $(RUNS)/lab9_$$task --device $(DEVICE) || exit; done

pack-train: install  ## code, CIFAR-10 and Inception weights for a GPU machine without a network, in parts, in PACK=
	@$(BIN)/python solutions/train_pack.py pack --data $(DATA) --to $(PACK)

unpack-train:  ## there: unpack PACK= into RUNS= and train lab 9's second task, with torch, numpy and Pillow alone
	@$(PYTHON) $(PACK)/unpack.py $(PACK) --to $(RUNS)
	@$(PYTHON) $(RUNS)/code/solutions/train_alone.py lab9/lab9_sngan --data $(RUNS)/data --out $(RUNS)/sngan --device $(DEVICE)

test: lint test-fast test-slow  ## all checks: linters, types, import rules, every test

test-fast: install
	@$(BIN)/python -m pytest

test-slow: install
	@$(BIN)/python -m pytest -m slow

hostile: install  ## what 67 attacks come to in this machine's sandbox, as a table
	@$(BIN)/python -m pytest tests/notebooks/test_hostile.py -m 'slow or not slow' -v

lint: install  ## ruff, mypy, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: install  ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: install  ## generate the templates and reference pictures in labs/ again
	@$(BIN)/python solutions/generate.py --pictures

lock: $(filter .tools/bin/uv,$(UV))  ## pin the newest allowed versions with their hashes
	@$(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --all-extras --generate-hashes --no-header --upgrade --output-file requirements.lock

clean:  ## remove what the targets above made
	rm -rf $(VENV) .tools $(DEMO) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
