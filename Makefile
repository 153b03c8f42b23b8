# Everything runs in .venv, made here on first use; only the package registries are reached. All paths are
# relative, because make cannot handle a checkout whose path has spaces in any other way.

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt
BUF_VERSION := 1.75.0
BUF := .venv/node/node_modules/.bin/buf
PLAYWRIGHT_VERSION := 1.65.1
AXE_VERSION := 4.14.1
TYPESCRIPT_VERSION := 7.0.2
TSC := .venv/page/node_modules/.bin/tsc
PROJECT_FILES := pyproject.toml clients/python/pyproject.toml constraints.txt

.PHONY: help demo demo-web test test-web test-research test-ray test-slow test-all test-daws check fuzz kills soak bench wire \
    format clean

help:
	@echo "make demo       separate a real song: server, client and report; the result is in demo-out/"
	@echo "make demo-web   the demo, and then its song on the page of \`ugosa web\`"
	@echo "make test       test server, clients and protocol, in minutes"
	@echo "make test-research, make test-ray, make test-slow"
	@echo "                test training and evaluation, the Ray engine, what takes long"
	@echo "make test-all   run all of these"
	@echo "make test-daws  test with real Ardour and Audacity; as root on Debian, installs them first"
	@echo "make test-web   test the page of ugosa web in Chromium; as root on Debian, installs it first"
	@echo "make check      lint, types, import rules, wire contract"
	@echo "make fuzz       throw made-up bytes at everything that reads what strangers send"
	@echo "make kills      kill -9 the server at named places, 200 times; nothing acknowledged may be lost"
	@echo "make soak       many clients of all kinds against one server for a while; what they saw is checked"
	@echo "make bench      measure throughput, latency, speed and memory"
	@echo "make format     apply the formatters"
	@echo "make wire       generate the protobuf code from protos/, Lua's words of marks, the client's options"
	@echo "make clean      remove .venv and everything else that make has made"

demo: .venv/demo.stamp .venv/models.stamp
	$(BIN)/python -m ugosa_server.cli demo --out demo-out --model-dir .venv/models

# The demo, and then its song on the page, with its marks and both separations, until Ctrl-C.
demo-web: .venv/demo.stamp .venv/models.stamp
	$(INSTALL) --editable "clients/python[web]"
	$(BIN)/python -m ugosa_server.cli demo --out demo-out --model-dir .venv/models --web

# The networks of the tests are so small that threads cost more than they give; processes are worth it.
TEST_WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
PYTEST_PARALLEL := $(PYTEST) -n $(TEST_WORKERS) --dist loadgroup

test: .venv/test.stamp .venv/models.stamp
	$(PYTEST_PARALLEL) -m "not slow and not gpu and not ray" --ignore tests/web/test_browser.py tests

test-research: .venv/research.stamp
	$(PYTEST_PARALLEL) -m "not slow and not gpu" research/tests

test-ray: .venv/ray.stamp
	$(PYTEST) -m "ray and not slow and not gpu" tests

# One after the other: most of them measure memory or time.
test-slow: .venv/research.stamp .venv/ray.stamp .venv/models.stamp
	$(PYTEST) -m "slow and not gpu" tests research/tests

test-all: test test-research test-ray test-slow

DAW_PACKAGES := ardour audacity xvfb x11-utils
test-daws: .venv/test.stamp
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DAW_PACKAGES); \
	else \
	    echo "not root on Debian: what is not installed of $(DAW_PACKAGES) is skipped"; \
	fi
	$(PYTEST) tests/daw

test-web: .venv/test.stamp .venv/page.stamp
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } || \
	    echo "Chromium is not installed, and cannot be from here: what needs it is skipped"
	$(PYTEST) tests/web

check: .venv/check.stamp .venv/buf.stamp .venv/page.stamp
	$(TSC) --project tests/web/browser/tsconfig.json
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_docstrings.py
	cd protos && ../$(BUF) lint && ../$(BUF) format --diff --exit-code
	$(BIN)/python tools/generate_wire.py --check
	$(BIN)/python tools/generate_lua_words.py --check
	$(BIN)/python tools/generate_options.py --check
	$(BIN)/python tools/generate_settings.py --check
	$(BIN)/python tools/check_breaking.py $(BUF)

# FUZZ_EXAMPLES examples (20,000) for each of the fuzz tests, of which `make test` runs 25.
fuzz: .venv/test.stamp
	$(PYTEST) tests/fuzz --hypothesis-profile=fuzz --timeout=0

# KILLS kills of the server or its worker (200), at places that KILLS_SEED (0) chooses.
kills: .venv/test.stamp
	$(PYTEST) -s -m slow tests/e2e/test_kill_minus_nine.py

# SOAK_MINUTES minutes (5) with SOAK_CLIENTS clients (12).
SOAK_MINUTES ?= 5
SOAK_CLIENTS ?= 12
soak: .venv/test.stamp
	$(BIN)/python -m tests.soak --minutes $(SOAK_MINUTES) --clients $(SOAK_CLIENTS)

# PART: what to measure (all): speed, service, growth, or one row's name; see bench/__main__.py.
bench: .venv/bench.stamp
	$(BIN)/python -m bench $(PART)

format: .venv/check.stamp .venv/buf.stamp
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format
	cd protos && ../$(BUF) format --write

wire: .venv/check.stamp
	$(BIN)/python tools/generate_wire.py
	$(BIN)/python tools/generate_lua_words.py
	$(BIN)/python tools/generate_options.py
	$(BIN)/python tools/generate_settings.py

# The first of these that is at least 3.11 makes .venv; `make PYTHON=/path/to/python3` names another one.
PYTHON ?= python3
.venv/made.stamp:
	@for candidate in "$(PYTHON)" python3 python3.13 python3.12 python3.11; do \
	    if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "making .venv with $$("$$candidate" --version)"; \
	        "$$candidate" -m venv --clear .venv && touch $@ && exit 0; exit 1; \
	    fi; \
	done; \
	echo "No Python >= 3.11 with venv found (tried $(PYTHON), python3, python3.13, python3.12, python3.11)." >&2; \
	echo "Install one (on Debian: python3 and python3-venv), or say where it is: make PYTHON=/path/to/python3" >&2; \
	exit 1

# torch comes first and alone, so that a CPU build that the machine offers is taken and nothing pulls in another.
.venv/torch.stamp: .venv/made.stamp
	$(INSTALL) --upgrade pip
	$(BIN)/python -c 'import torch' 2>/dev/null || $(INSTALL) torch
	touch $@

.venv/project.stamp: .venv/torch.stamp $(PROJECT_FILES)
	$(INSTALL) --editable clients/python --editable .
	touch $@

.venv/demo.stamp: .venv/project.stamp
	$(INSTALL) --editable ".[demo]"
	touch $@

.venv/test.stamp: .venv/demo.stamp
	$(INSTALL) --group test
	touch $@

.venv/research.stamp: .venv/test.stamp research/pyproject.toml
	$(INSTALL) --editable research --group research/pyproject.toml:test
	touch $@

# Spleeter's weights, and `band` made of them: the demo's network, and what the tests of real weights read. Where they
# cannot be had, the demo takes the shipped network and those tests are skipped. What is fetched already stays;
# `band` is made anew of the parts and defaults that came with the checkout.
.venv/models.stamp: .venv/project.stamp ugosa_server/weights/*/*.safetensors ugosa_server/models/collection.py \
    ugosa_server/models/band/config.py
	@mkdir -p .venv/models
	$(BIN)/python -m ugosa_server.cli models pull band --into .venv/models && touch $@ \
	    || echo "Spleeter's weights cannot be fetched: what needs them is left out, the next make tries again" >&2

.venv/ray.stamp: .venv/test.stamp
	$(INSTALL) --editable ".[ray]"
	touch $@

.venv/bench.stamp: .venv/demo.stamp research/pyproject.toml
	$(INSTALL) --editable research --group bench
	touch $@

.venv/check.stamp: .venv/research.stamp
	$(INSTALL) --group check
	touch $@

.venv/buf.stamp: Makefile .venv/made.stamp
	@command -v npm >/dev/null || { \
	    echo "buf, which checks protos/, comes as an npm package: install Node.js with npm, then run make again" >&2; \
	    exit 1; }
	npm install --prefix .venv/node --no-save --no-package-lock --ignore-scripts --no-audit --no-fund \
	    --loglevel=error "@bufbuild/buf@$(BUF_VERSION)"
	touch $@

# What the page is checked and tested with; the page itself needs nothing of it.
.venv/page.stamp: Makefile .venv/made.stamp
	@command -v npm >/dev/null || { \
	    echo "playwright-core and typescript come as npm packages: install Node.js with npm, then run make again" >&2; \
	    exit 1; }
	npm install --prefix .venv/page --no-save --no-package-lock --ignore-scripts --no-audit --no-fund \
	    --loglevel=error "playwright-core@$(PLAYWRIGHT_VERSION)" "axe-core@$(AXE_VERSION)" \
	    "typescript@$(TYPESCRIPT_VERSION)"
	touch $@

clean:
	rm -rf .venv demo-out build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
