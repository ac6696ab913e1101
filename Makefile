# openrek: each target makes what it needs in .venv. Only Python 3.11+, make and the package registries are needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# of the tests many wait, so one more than there are cores; each may hold a gigabyte of models
JOBS   ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 3 ] && echo 4 || echo $$((n + 1)))

.DEFAULT_GOAL := help
.PHONY: help demo serve test lint format types bench bench-video models clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "openrek needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make a virtual environment with pip; on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/pip
	@echo "Setting up .venv (once, about a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo,video]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/pip
	@echo "Setting up .venv with the development tools (once, about two minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.demo

models: $(VENV)/.demo  ## fetch the models of the base pack (about 140 MB, once)
	@$(BIN)/openrek models pull base

demo: $(VENV)/.demo models  ## set up, start a server, ask it about real photos through boto3
	@$(BIN)/openrek demo --output demo-output

serve: $(VENV)/.demo models  ## run the server on http://127.0.0.1:9900
	@$(BIN)/openrek serve

test: $(VENV)/.dev models  ## run all tests
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadscope

lint: $(VENV)/.dev  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.dev  ## let ruff tidy the sources
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev models  ## measure speed, memory and start-up; writes docs/benchmarks.md
	@$(BIN)/python -m bench --write docs/benchmarks.md

bench-video: $(VENV)/.dev models  ## measure stored video beside PyAV, PySceneDetect and FFmpeg; writes docs/benchmarks-video.md
	@$(BIN)/python -m bench.video --write docs/benchmarks-video.md

clean:  ## remove .venv and everything built or cached in this folder
	@rm -rf $(VENV) build dist demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
