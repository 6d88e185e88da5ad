# Everything runs from a virtual environment in .venv, made from Python 3.11 or newer, pip and make alone.
# It is made once, and again when pyproject.toml changes.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
TESTS ?=
FAULTS ?= full

.PHONY: help serve test faults lint format docs clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/server-ready ## Run the server with namespaces app, orders and github on :2021
	@exec $(BIN)/bus server --addr :2021 --path ./data --namespaces app,orders,github

test: $(VENV)/dev-ready ## Run the tests; TESTS="tests/cli -k put" runs some of them
	$(BIN)/pytest -n auto $(TESTS)

faults: $(VENV)/dev-ready ## Cut the power, kill, fill disks; needs root. FAULTS=short takes minutes, full an hour
	FAULTS=$(FAULTS) $(BIN)/pytest tests/faults --timeout 900

lint: $(VENV)/dev-ready ## Check style, types and the floors of the house
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/dev-ready ## Put the sources into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/docs-ready ## Build the documentation into ./site
	$(BIN)/mkdocs build

clean: ## Remove the virtual environment and what tools left
	rm -rf $(VENV) dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/dev-ready: $(VENV)/server-ready
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

$(VENV)/docs-ready: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --group docs
	@touch $@

$(VENV)/server-ready: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --editable '.[server]'
	@touch $@

# Debian's Python has no ensurepip until python3-venv is installed; the system's own pip helps out.
# Dependency groups need pip 25.1.
$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "Bus needs Python 3.11 or newer: install it, or name it as PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check 'pip>=25.1'
