# Everything a person types. Works on a bare machine: Python 3.11+, git and make are enough.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# The interpreter that builds the environment; override with `make run PYTHON=python3.12`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Superset's packages don't fit beside ours.
SUPERSET := .venv-superset

# dagster.yaml at the root is read only through an absolute DAGSTER_HOME.
export DAGSTER_HOME := $(CURDIR)
# Container images often forbid bytecode: each process would compile Dagster and dbt anew, which takes
# longer than starting them.
export PYTHONDONTWRITEBYTECODE :=
ifdef SOURCE
export STOCK_PLATFORM_SOURCE := $(SOURCE)
endif

.PHONY: help run up down test test-all test-browser screenshots browser-deps bench lint format doctor \
	superset superset-deps superset-constraints constraints docker-check clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.runtime  ## build what is missing and print the forecasts (SOURCE=yahoo|files|simulated)
	$(BIN)/stock-platform run

up: $(VENV)/.runtime  ## warehouse, the app, Dagster and MLflow with their pages; Ctrl-C stops all
	@$(BIN)/stock-platform up

down: $(VENV)/.runtime  ## stop whatever this project left running
	$(BIN)/stock-platform down

superset: $(VENV)/.runtime $(SUPERSET)/.installed  ## install Superset, apply the dashboards, serve them
	@$(BIN)/stock-platform superset serve

superset-deps: $(SUPERSET)/.installed  ## only install Superset; `make up` serves it from then on

doctor: $(VENV)/.runtime  ## what is reachable, what is wrong, and the mend
	@$(BIN)/stock-platform doctor

test: $(VENV)/.dev  ## every test but the slow ones and the browser's
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-all: $(VENV)/.dev  ## the slow tests too (kill -9 in every stage); about half an hour
	$(BIN)/python -m pytest -m "not browser" $(PYTEST_ARGS)

test-browser: $(VENV)/.dev  ## the pages in Chromium; writes build/browser.json
	$(BIN)/python -m pytest -n 0 -m browser tests/browser $(PYTEST_ARGS)

screenshots: $(VENV)/.dev  ## make the pictures of the README again, on the packaged sample
	BROWSER_SOURCE=sample $(BIN)/python -m pytest -n 0 -m browser \
	  tests/browser -k "graph_is_whole or forecasts_page or (test_app and (instrument or accuracy or phone))" \
	  $(PYTEST_ARGS)
	cp build/screenshots/dagster-graph.png docs/asset-graph.png
	cp build/screenshots/dagster-forecast-fan.png docs/forecast-page.png
	for name in instrument accuracy phone; do cp build/screenshots/app-$$name.png docs; done

browser-deps:  ## what test-browser needs from the system (Debian, Ubuntu; needs root)
	apt-get install -y --no-install-recommends chromium

bench: $(VENV)/.dev  ## measure and write build/bench.json
	$(BIN)/python tests/bench

lint: $(VENV)/.dev docker-check  ## ruff, mypy, sqlfluff, dashboards, compose schema, Dockerfiles
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --disable-progress-bar dbt
	$(BIN)/stock-platform superset check

docker-check: $(VENV)/.dev
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	$(BIN)/hadolint docker/*.Dockerfile

format: $(VENV)/.dev  ## apply the linter's safe fixes and the formatter
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

constraints: $(VENV)/.dev  ## renew constraints.txt from the environment
	@.ci/install "$(VENV)" ".[dev,docker,univariate]"  # what only they need is pinned too
	@mkdir -p build
	{ sed -n '/^#/p' constraints.txt; \
	  $(BIN)/python -m pip freeze --all --exclude-editable | grep -v ' @ ' | LC_ALL=C sort -f; \
	} > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:  ## remove caches and build/; data and environment stay
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* *.egg-info
	rm -rf dbt/target dbt/logs
	find stock_platform tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment: rebuilt only when pyproject.toml or constraints.txt change ---------------

$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/python
	@.ci/install "$(VENV)" .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@.ci/install "$(VENV)" ".[dev]"
	@touch $(VENV)/.runtime $@

$(SUPERSET)/.installed: docker/superset/requirements.txt docker/superset/constraints.txt | $(BIN)/python
	@.ci/install-superset "$(BIN)/python" "$(SUPERSET)"
	@touch $@

superset-constraints: $(SUPERSET)/.installed  ## renew docker/superset/constraints.txt likewise
	@.ci/install-superset "$(BIN)/python" "$(SUPERSET)" unpinned
	@mkdir -p build
	{ sed -n '/^#/p' docker/superset/constraints.txt; \
	  $(SUPERSET)/bin/python -m pip --disable-pip-version-check freeze | LC_ALL=C sort -f; \
	} > build/superset-constraints.txt
	mv build/superset-constraints.txt docker/superset/constraints.txt

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: '$(PYTHON)' is missing or older than Python 3.11;" \
	       "install one, then: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@if command -v uv >/dev/null; then uv venv --quiet --python "$$(command -v $(PYTHON))" $(VENV); \
	else $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "error: Python's venv module is incomplete; on Debian or Ubuntu:" \
	       "apt-get install python3-venv" >&2; exit 1; }; fi
