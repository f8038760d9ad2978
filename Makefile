# Every target sets up what it needs; `make run` on a fresh machine is the whole installation.
.DEFAULT_GOAL := run
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NPM := tests/web/node_modules

.PHONY: run setup setup-dev system test check bench soak lock clean

run: setup
	@$(BIN)/hoatoc demo --out out $(ARGS)

setup: $(VENV)/.runtime

setup-dev: $(VENV)/.dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	@# Half a venv would pass for a whole one the next time.
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "The venv module is missing: apt-get install python3-venv"; exit 1; }

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Cài đặt lần đầu, một hai phút · Installing hash-locked dependencies, once ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

# Real services and judges that the tests use; installed as root, else named.
system:
	@bash tests/system.sh

# What checks the web client, hash-locked: its types, its accessibility. The client itself has no package.
$(NPM)/.package-lock.json: tests/web/package-lock.json
	@bash tests/system.sh node npm
	@npm ci --prefix tests/web --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

test: setup-dev system $(NPM)/.package-lock.json
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

check: setup-dev $(NPM)/.package-lock.json
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/hoatoc openapi --check
	@$(NPM)/.bin/tsc -p tests/web/tsconfig.json
	@$(NPM)/.bin/tsc -p tests/web/tsconfig.worker.json
	@$(BIN)/python -m tests.conformance

bench: setup-dev system
	@$(BIN)/python -m tests.bench $(ARGS)

# The long forms of the crash, race and fuzz loops; ends with one JSON line. ROUNDS, SECONDS and SEED come from the command line.
soak: setup-dev system $(NPM)/.package-lock.json
	@$(BIN)/python -m tests.soak --rounds "$(or $(filter-out environment,$(if $(filter command\ line,$(origin ROUNDS)),$(ROUNDS))),100)" \
	  --seconds "$(if $(filter command\ line,$(origin SECONDS)),$(SECONDS),60)" --seed "$(if $(filter command\ line,$(origin SEED)),$(SEED),1)"

# Versions and hashes only: no registry, no index, no path of a machine.
lock: setup-dev
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra demo --extra build --extra dev -o requirements-dev.lock pyproject.toml
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra demo --extra build -c requirements-dev.lock -o requirements.lock pyproject.toml

clean:
	@rm -rf $(VENV) $(NPM) .mypy_cache .ruff_cache .pytest_cache .hypothesis
