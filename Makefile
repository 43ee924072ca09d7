# Everything is run from here.  A machine needs make and Python 3.11 or newer;
# the rest goes into .venv, by hash, from the locks in requirements/.

PYTHON ?= python3
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check
PYTEST_IN_PARALLEL := $(BIN)/python -m pytest -n auto --dist worksteal \
	--ignore=tests/browser --ignore=tests/recipes
SOURCES := $(wildcard src tests examples benchmarks tools docs noxfile.py)

# What was compiled is kept, the tests as pytest rewrites them too: the next run begins
# sooner, and so does each of the many small processes of a run.
export PYTHONPYCACHEPREFIX := $(abspath $(VENV))/pycache
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
# Installations share one environment: never two at a time.
.NOTPARALLEL:
.DELETE_ON_ERROR:

.PHONY: help
help:  ## List what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(VENV)/run.stamp  ## Show an order's life in the terminal
	@$(BIN)/python -m escrowflow demo

.PHONY: example
example: $(VENV)/example.stamp  ## Open a small marketplace on this machine (PORT=8001, ESCROWFLOW_DB=postgresql://...)
	@$(BIN)/python -m examples.marketplace

.PHONY: test
test: $(VENV)/test.stamp  ## Run the tests (PYTEST_ARGS="-k money -x" for some of them)
	@echo "== tests"
	@$(PYTEST_IN_PARALLEL) -m "not proof" $(PYTEST_ARGS)

.PHONY: proofs
proofs: $(VENV)/test.stamp  ## Run what tries many lives, and what tests the tests: planted bugs, mutants, kills
	@echo "== proofs"
	@$(PYTEST_IN_PARALLEL) -m proof $(PYTEST_ARGS)

.PHONY: mutants
mutants: $(VENV)/mutants.stamp  ## Change the core in small ways: does a test fail? (MUTANTS_ARGS="money ledger"); hours
	@$(BIN)/python tools/mutants.py $(MUTANTS_ARGS)

.PHONY: browser
browser: $(VENV)/browser.stamp  ## Visit the example in a real browser: Debian's chromium
	@echo "== browser"
	@$(BIN)/python -m pytest tests/browser $(PYTEST_ARGS)

.PHONY: recipes
recipes: $(VENV)/recipes.stamp  ## Run workers on Celery, procrastinate, DBOS; on many hosts; behind PgBouncer
	@echo "== recipes"
	@$(BIN)/python -m pytest -n auto --dist worksteal tests/recipes $(PYTEST_ARGS)

.PHONY: coverage
coverage: $(VENV)/test.stamp  ## Run the tests; every branch below the engine must be reached
	@$(MAKE) --no-print-directory test PYTEST_ARGS="--cov --cov-report= $(PYTEST_ARGS)"
	@$(MAKE) --no-print-directory proofs PYTEST_ARGS="--cov --cov-append --cov-report= $(PYTEST_ARGS)"
	@$(MAKE) --no-print-directory covered

.PHONY: covered
covered: $(VENV)/test.stamp  ## What the last run with coverage has reached
	@echo "== coverage"
	@$(BIN)/python -m coverage report
	@$(BIN)/python -m coverage report --fail-under=100 \
		--omit="*/engine/*,*/checker/*,*/market/*,*/worker.py,*/testing/*,*/contrib/django/*,*/demo.py,*/__main__.py" >/dev/null || { \
		echo "Something below the engine is not reached." >&2; exit 1; }

.PHONY: check
check: lint types layers test proofs  ## Everything a change must pass

.PHONY: lint
lint: $(VENV)/dev.stamp  ## Ruff: rules and layout
	@echo "== lint"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { \
		echo "Not formatted as agreed; 'make format' repairs it:" >&2; \
		$(BIN)/ruff format --check . >&2; exit 1; }

.PHONY: types
types: $(VENV)/dev.stamp  ## Mypy, strict
	@echo "== types"
	@$(BIN)/python -m mypy $(SOURCES)

.PHONY: layers
layers: $(VENV)/dev.stamp  ## Imports point down
	@echo "== layers"
	@$(BIN)/lint-imports --no-cache

.PHONY: format
format: $(VENV)/dev.stamp  ## Let ruff repair what it can
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

.PHONY: docs
docs: $(VENV)/docs.stamp  ## Build the site, docs/_build/html; every warning is an error
	@echo "== docs"
	@$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --nitpicky \
		--quiet --doctree-dir docs/_build/doctrees docs docs/_build/html
	@echo docs/_build/html/index.html

.PHONY: bench
bench: $(VENV)/dev.stamp  ## Measure, beside other libraries (BENCH_ARGS="--quick", "--keep" for the documentation)
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

.PHONY: soak
soak: $(VENV)/test.stamp  ## The long run: killed processes, crashed servers, crowds (SOAK_ARGS="--share 0.1")
	@$(BIN)/python -m tests.soak $(SOAK_ARGS)

.PHONY: release
release: $(VENV)/release.stamp  ## What a release must pass: every Python, lowest versions, the wheel (NOX_ARGS="-s wheel")
	@$(BIN)/python -m nox $(NOX_ARGS)

.PHONY: clean
clean:  ## Remove everything that make made
	@rm -rf $(VENV) dist docs/_build htmlcov mutants .coverage .coverage.* .hypothesis \
		.import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find src tests $(wildcard examples benchmarks tools) -name __pycache__ -prune -exec rm -rf {} +


# ----------------------------------------------------------------- environment
#
# A stamp says: this lock is installed, and so are we, editable.  Each lock is a
# part of a greater one, with the same versions: run of example and test, both of
# browser, and that of dev.  So whoever installs a greater one has the lesser ones too.
# The locks of the queues, recipes, of the site, docs, of a release, and of mutants stand
# beside them, and share their versions.

PARTS_OF_dev := run example test browser
PARTS_OF_browser := run example test
PARTS_OF_test := run
PARTS_OF_example := run
PARTS_OF_recipes := run test
PARTS_OF_docs := run
PARTS_OF_release := run
PARTS_OF_mutants := run test

$(VENV)/made.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "escrowflow needs Python 3.11 or newer, and '$(PYTHON)' is not." >&2; \
		echo "Name another one: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@echo "== $(VENV), with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/%.stamp: requirements/%.lock pyproject.toml | $(VENV)/made.stamp
	@echo "== installing requirements/$*.lock"
	@$(PIP) install --require-hashes --requirement $<
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(PARTS_OF_$*:%=$(VENV)/%.stamp)


# ----------------------------------------------------------------------- locks
#
# For every platform and Python version at once, and without a word about where
# they came from.  The smaller ones are held to the versions of the greatest.

UV_COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --no-config --universal \
	--python-version 3.11 --extra cli --group build --generate-hashes \
	--no-annotate \
	--custom-compile-command "make lock"

.PHONY: lock
lock: $(VENV)/dev.stamp  ## Renew the locks (UPGRADE=--upgrade for newer versions)
	$(UV_COMPILE) $(UPGRADE) --group dev --output-file requirements/dev.lock
	$(UV_COMPILE) --group browser --constraint requirements/dev.lock --output-file requirements/browser.lock
	$(UV_COMPILE) --group example --constraint requirements/dev.lock --output-file requirements/example.lock
	$(UV_COMPILE) --group test --constraint requirements/dev.lock --output-file requirements/test.lock
	$(UV_COMPILE) --constraint requirements/dev.lock --output-file requirements/run.lock
	$(UV_COMPILE) --group recipes --constraint requirements/dev.lock --output-file requirements/recipes.lock
	$(UV_COMPILE) --group docs --constraint requirements/dev.lock --output-file requirements/docs.lock
	$(UV_COMPILE) --group release --constraint requirements/dev.lock --output-file requirements/release.lock
	$(UV_COMPILE) --group mutants --constraint requirements/dev.lock --output-file requirements/mutants.lock
