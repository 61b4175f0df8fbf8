# make run    the main job through the real Freva host on a generated archive
# make test   all checks and tests
# Both install what they need on Debian 12 and Ubuntu 24.04; see README.md.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

TORCH := torch==2.13.0
FREVA := freva==2507.0.0
ENV := plugin_env
HOST := host_env
PY := $(ENV)/bin/python
BUILD := build
STATE := $(BUILD)/host
# Tests that run at the same time, each with one thread.
WORKERS ?= 2

PLUGIN_PACKAGES := cdo python3-venv python3-dev build-essential
HOST_PACKAGES := pkg-config default-libmysqlclient-dev git
TEST_PACKAGES := mariadb-server chromium ffmpeg cron systemd slurm-wlm slurmctld slurmd munge

PYTHON := $(shell for p in python3.12 python3.11 python3; do \
	if command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; \
	then echo $$p; break; fi; done)

.PHONY: help plugin_env host_env run test lint bench clean

help:
	@sed -n '1,3p' Makefile | cut -c3-
	@echo "other targets: plugin_env host_env lint bench clean"

# The stamps hold what they were made from: a changed pyproject.toml makes the environment anew.
plugin_env: $(ENV)/.made
$(ENV)/.made: pyproject.toml
	@$(if $(PYTHON),,echo "Python 3.11 or 3.12 is needed and was not found; install python3.12 or python3.11." >&2; exit 1)
	@python3 host/system_packages.py $(PLUGIN_PACKAGES)
	@test -x $(PY) || $(PYTHON) -m venv $(ENV)
	@$(PY) -c 'import torch' 2>/dev/null || echo "Fetching $(TORCH): up to 0.6 GB and more once, unless pip has it already."
	@$(PY) -m pip install -q --disable-pip-version-check $(TORCH)
	@echo "Installing climrecon and what it needs into $(ENV)"
	@$(PY) -m pip install -q --disable-pip-version-check -e .
	@touch $@

$(ENV)/.tested: $(ENV)/.made
	@python3 host/system_packages.py $(TEST_PACKAGES)
	@echo "Installing what the tests need into $(ENV)"
	@$(PY) -m pip install -q --disable-pip-version-check -e '.[test]'
	@touch $@

host_env: $(HOST)/.made
$(HOST)/.made: Makefile
	@$(if $(PYTHON),,echo "Python 3.11 or 3.12 is needed and was not found; install python3.12 or python3.11." >&2; exit 1)
	@python3 host/system_packages.py $(PLUGIN_PACKAGES) $(HOST_PACKAGES)
	@test -x $(HOST)/bin/python || $(PYTHON) -m venv $(HOST)
	@echo "Installing the Freva host ($(FREVA)) into $(HOST)"
	@$(HOST)/bin/python -m pip install -q --disable-pip-version-check $(FREVA)
	@touch $@

$(BUILD)/demo/catalogue.json: | $(ENV)/.made
	@$(PY) -m climrecon demo $(BUILD)/demo

$(BUILD)/climrecon.toml: | $(BUILD)/demo/catalogue.json
	@printf '[defaults]\ncatalogue = "%s"\n' "$(CURDIR)/$(BUILD)/demo/catalogue.json" > $@

run: plugin_env host_env $(BUILD)/demo/catalogue.json $(BUILD)/climrecon.toml
	@echo "Running: freva plugin climrecon variable=tas"
	@CLIMRECON_CONFIG="$(CURDIR)/$(BUILD)/climrecon.toml" $(HOST)/bin/python host/setup_host.py "$(STATE)" -- \
		freva plugin climrecon variable=tas
	@echo
	@echo "The report: $$(ls -t "$(STATE)"/output/*/*/*/climrecon/*/report.html | head -n 1)"

lint: $(ENV)/.tested
	@$(ENV)/bin/ruff check .
	@$(ENV)/bin/ruff format --check -q .
	@$(ENV)/bin/mypy
	@$(ENV)/bin/lint-imports --no-cache >/dev/null && echo "Layers: kept"

test: lint host_env
	@rm -f .coverage .coverage.*
	@OMP_NUM_THREADS=1 $(PY) -m pytest --cov --cov-report=term -q \
		-n $(WORKERS) --dist loadfile --no-loadscope-reorder

bench: plugin_env
	@for script in startup reconstruct prepare release_watch; do $(PY) benchmarks/$$script.py --json; done

clean:
	rm -rf $(BUILD) .pytest_cache .mypy_cache .ruff_cache .coverage*
