# Every target does its own set-up: a fresh machine needs Python 3.10 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two workers suit the smallest machine that the suite promises to be quick on.
WORKERS ?= 2

.PHONY: help demo test crash lint types format clean

help:
	@echo "make demo    the whole story in one minute, against a service on loopback"
	@echo "make test    the test suite (under three minutes on two cores)"
	@echo "make crash   killed at every file-system call (about a minute)"
	@echo "make lint    ruff; make types: mypy --strict; make format: ruff format"

# One stamp for each set of dependencies; it is older than pyproject.toml when they may have changed.
$(VENV)/.app: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.app
	$(BIN)/python -m pip install --quiet --editable '.[dev,delta]'
	@touch $@

demo: $(VENV)/.app
	@$(BIN)/python examples/demo.py

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS)

# Killed at every file-system call of a life; `make test` tries every seventh.
crash: $(VENV)/.dev
	CRASH_STEP=1 $(BIN)/python -m pytest -n $(WORKERS) tests/crash

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
