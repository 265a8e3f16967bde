# Every target does its own set-up: a fresh machine needs Python 3.10 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INTEROP := .interop
LOWEST := .venv-lowest
TOOLS := .venv-tools
BENCHED := .venv-bench
GUI := .venv-gui
DOCS := .venv-docs
# Two workers suit the smallest machine that the suite promises to be quick on.
WORKERS ?= 2

.PHONY: help demo docs test crash faults fleet fuzz interop gui timing bench bench-check lowest audit dist lint types format clean

help:
	@echo "make demo    the whole story in one minute, against a service on loopback"
	@echo "make test    the test suite (under three minutes on two cores)"
	@echo "make crash   killed, unplugged, failed and damaged at every file-system call (some minutes)"
	@echo "make faults  every fault in every mode, and build/faults.html (FAULTS_CELLS=ci: the fixed subset)"
	@echo "make fleet   100,000 devices through an outage, a bad release and a plan that ends; build/fleet.png"
	@echo "make timing  the time limits without any grace (alone on the machine)"
	@echo "make bench   measured beside tuf, tufup, velopack, httpx, curl: a table, build/bench.json, build/bench.png"
	@echo "make bench-check  the same against the kept ratios (BENCH=quick: 3 minutes; BENCH_ONLY=launch,update: parts)"
	@echo "make interop against Capgo's own command line (node 20 or newer, npm; half a minute)"
	@echo "make gui     the examples with a window: Kivy, PySide6, tkinter, pygame (Xvfb for some of them)"
	@echo "make docs    the documentation as a site, in build/site"
	@echo "make fuzz    every parser fed with rubbish for FUZZ_SECONDS each (60)"
	@echo "make lowest  the suite with the lowest versions of what we depend on"
	@echo "make audit   known holes in what we depend on; make dist: wheel, sdist, their bill of materials,"
	@echo "             and the demo out of the wheel on every Python that is here"
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

# One more than the cores, for many of these tests wait for something.
TEST_WORKERS ?= 3
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(TEST_WORKERS) -m "not slow"

# Every operation killed, unplugged and made to fail at every call of its own, and what is damaged on disk; `make test`
# tries a sample. CRASH_STEP=5 tries every fifth call.
CRASH_STEP ?= 1
crash: $(VENV)/.dev
	CRASH_STEP=$(CRASH_STEP) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/crash

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
	FLAT_MARGIN=1 $(BIN)/python -m pytest -p no:randomly tests/net tests/face/test_three_seconds.py \
		tests/face/test_meaning_close.py

# Venvs with nothing in them but what is measured: ours installed as a user has it, and the pinned yardsticks.
BENCH ?= full
BENCH_ONLY ?=
BENCH_FLAGS ?=
BENCH_CHECK :=
$(BENCHED)/ours/.done: pyproject.toml $(shell find capgo_client -name '*.py')
	$(PYTHON) -m venv --clear $(BENCHED)/ours
	$(BENCHED)/ours/bin/python -m pip install --quiet --compile '.[delta]'
	@touch $@

$(BENCHED)/peers/.done: tests/bench/requirements-peers.txt
	$(PYTHON) -m venv --clear $(BENCHED)/peers
	$(BENCHED)/peers/bin/python -m pip install --quiet --compile --requirement $<
	@touch $@

$(BENCHED)/tufup/.done: tests/bench/requirements-tufup.txt
	$(PYTHON) -m venv --clear $(BENCHED)/tufup
	$(BENCHED)/tufup/bin/python -m pip install --quiet --compile --requirement $<
	@touch $@

# Twenty minutes on a machine that does nothing else; three with BENCH=quick. BENCH_FLAGS=--docs rewrites the table in
# docs/benchmarks.md, BENCH_FLAGS=--keep-baseline what bench-check compares with.
bench: $(BENCHED)/ours/.done $(BENCHED)/peers/.done $(BENCHED)/tufup/.done
	$(BENCHED)/ours/bin/python tests/bench/run_bench.py --mode $(BENCH) --only '$(BENCH_ONLY)' $(BENCH_CHECK) $(BENCH_FLAGS)

bench-check: BENCH_CHECK := --check
bench-check: bench

# The package-lock.json pins every package by its hash; nothing of them runs at installation. Not `npm ci`: it wants
# two optional packages for macOS in the lock that the registry does not have.
$(INTEROP)/.installed: tests/interop/package.json tests/interop/package-lock.json
	mkdir -p $(INTEROP)
	cp tests/interop/package.json tests/interop/package-lock.json $(INTEROP)
	cd $(INTEROP) && npm install --no-save --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

interop: $(VENV)/.dev $(INTEROP)/.installed
	CAPGO_INTEROP=required $(BIN)/python -m pytest -n $(WORKERS) tests/interop

# The toolkits are large, so they have a venv of their own; `make test` leaves this folder out where they are missing.
$(GUI)/.done: pyproject.toml tests/gui/requirements.txt
	$(PYTHON) -m venv $(GUI)
	$(GUI)/bin/python -m pip install --quiet --editable '.[dev,delta]' --requirement tests/gui/requirements.txt
	@touch $@

gui: $(GUI)/.done
	$(GUI)/bin/python -m pytest -n $(WORKERS) tests/gui

# Exact versions, for a page must not look different because somebody released something. Warnings are errors (not
# with --quiet, which drops them before --strict can count them), and the last line fails where a page would load
# something from another host.
$(DOCS)/.done: docs/requirements.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --no-deps --requirement $<
	@touch $@

docs: $(DOCS)/.done
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict
	! grep -rnoE '<(script|link|img|iframe)[^>]* (src|href)="?(https?:)?//[^>]*' --include='*.html' build/site

# Fresh seeds each time; what they found stays as examples in the tests, which `make test` runs.
FUZZ_SECONDS ?= 60
FUZZ_WORKERS ?= 6
fuzz: $(VENV)/.dev
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest -n $(FUZZ_WORKERS) tests/fuzz

$(LOWEST)/.dev: pyproject.toml .ci/lowest-bounds
	$(PYTHON) -m venv $(LOWEST)
	.ci/lowest-bounds > $(LOWEST)/bounds.txt
	$(LOWEST)/bin/python -m pip install --quiet --constraint $(LOWEST)/bounds.txt --editable '.[dev,delta,cli]'
	@touch $@

# What pyproject.toml promises to work with, where it matters: cryptography, httpx, httpcore, brotli, platformdirs.
lowest: $(LOWEST)/.dev
	$(LOWEST)/bin/python -m pytest -n $(WORKERS) -m "not slow" tests/verify tests/net tests/fetch tests/face tests/platforms

$(TOOLS)/.done:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet build twine check-wheel-contents pip-audit cyclonedx-bom
	@touch $@

audit: $(TOOLS)/.done $(VENV)/.dev
	.ci/audit $(TOOLS)/bin/pip-audit $(VENV)

# Twice, and both times the same bytes: whoever has this commit can see that the wheel was made of it.
dist: $(TOOLS)/.done
	rm -rf dist build/again build/sbom
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(TOOLS)/bin/python -m build --outdir dist .
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(TOOLS)/bin/python -m build --outdir build/again .
	for made in dist/*; do cmp "$$made" "build/again/$${made#dist/}" || exit 1; done
	$(TOOLS)/bin/twine check --strict dist/*
	$(TOOLS)/bin/check-wheel-contents dist/*.whl
	.ci/try-wheel dist/*.whl
	$(PYTHON) -m venv build/sbom
	build/sbom/bin/python -m pip install --quiet "$$(echo dist/*.whl)[delta]"
	$(TOOLS)/bin/cyclonedx-py environment --output-reproducible --output-file dist/sbom.cdx.json build/sbom/bin/python
	cd dist && sha256sum * > SHA256SUMS && cat SHA256SUMS

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(LOWEST) $(TOOLS) $(BENCHED) $(GUI) $(DOCS) $(INTEROP) .bench build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
