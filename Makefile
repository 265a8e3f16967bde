# Every target does its own set-up: a fresh machine needs Python 3.10 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INTEROP := .interop
# Two workers suit the smallest machine that the suite promises to be quick on.
WORKERS ?= 2

.PHONY: help demo test crash faults fleet interop timing lint types format clean

help:
	@echo "make demo    the whole story in one minute, against a service on loopback"
	@echo "make test    the test suite (under three minutes on two cores)"
	@echo "make crash   killed, unplugged, failed and damaged at every file-system call (some minutes)"
	@echo "make faults  every fault in every mode, and build/faults.html (FAULTS_CELLS=ci: the fixed subset)"
	@echo "make fleet   100,000 devices through an outage, a bad release and a plan that ends; build/fleet.png"
	@echo "make timing  the time limits without any grace (alone on the machine)"
	@echo "make interop against Capgo's own command line (node 20 or newer, npm; half a minute)"
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
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

# Every operation killed, unplugged and made to fail at every call of its own, and what is damaged on disk; `make test`
# tries a sample. CRASH_STEP=5 tries every fifth call.
CRASH_STEP ?= 1
crash: $(VENV)/.dev
	CRASH_STEP=$(CRASH_STEP) $(BIN)/python -m pytest -n $(WORKERS) tests/crash

# Every fault in every mode and state (a quarter of an hour); FAULTS_CELLS=ci is the fixed subset (two minutes). More
# workers than cores, for most cells wait for what never comes.
FAULTS_CELLS ?= all
FAULTS_WORKERS ?= 4
faults: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) -m slow --ignore tests/crash
	PYTHONPATH=.:tests $(BIN)/python -m faults --cells $(FAULTS_CELLS) --workers $(FAULTS_WORKERS) --out build

# On all processors; half a minute on two idle ones.
fleet: $(VENV)/.dev
	$(BIN)/python tests/fleet/run_fleet.py --out build

# The time limits to a tenth of a second flat, with the machine to itself; `make test` forgives what a busy one does.
timing: $(VENV)/.dev
	FLAT_MARGIN=1 $(BIN)/python -m pytest -p no:randomly tests/net tests/face/test_three_seconds.py

# The package-lock.json pins every package by its hash; nothing of them runs at installation. Not `npm ci`: it wants
# two optional packages for macOS in the lock that the registry does not have.
$(INTEROP)/.installed: tests/interop/package.json tests/interop/package-lock.json
	mkdir -p $(INTEROP)
	cp tests/interop/package.json tests/interop/package-lock.json $(INTEROP)
	cd $(INTEROP) && npm install --no-save --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

interop: $(VENV)/.dev $(INTEROP)/.installed
	CAPGO_INTEROP=required $(BIN)/python -m pytest -n $(WORKERS) tests/interop

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(INTEROP) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
