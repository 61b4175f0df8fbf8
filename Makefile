# 'make help' lists the targets. On Debian 12 and Ubuntu 24.04 they install the missing system packages.

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
WORKERS ?= 3
# Folders of tests that 'make check' runs.
FAST := $(addprefix tests/,architecture catalogue docs output packaging preprocess settings)

PLUGIN_PACKAGES := cdo python3-venv python3-dev build-essential
HOST_PACKAGES := pkg-config default-libmysqlclient-dev git
TEST_PACKAGES := mariadb-server chromium ffmpeg cron systemd slurm-wlm slurmctld slurmd munge

PYTHON := $(shell for p in python3.12 python3.11 python3; do \
	if command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; \
	then echo $$p; break; fi; done)

.DEFAULT_GOAL := help
.PHONY: help plugin_env host_env run check test coverage faults lint docs bench clean

help: ## List the targets
	@grep -hE '^[a-z_]+:.*## ' Makefile | sed -E 's/^([a-z_]+):.*## /\1\t/' | column -ts $$'\t' 2>/dev/null || \
		grep -hE '^[a-z_]+:.*## ' Makefile

# The stamps hold what they were made from: a changed pyproject.toml makes the environment anew.
plugin_env: $(ENV)/.made ## Build the environment of the plugin in plugin_env
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
	@echo "Installing the tools of tests and documentation into $(ENV)"
	@$(PY) -m pip install -q --disable-pip-version-check -e '.[test]'
	@touch $@

host_env: $(HOST)/.made ## Install the Freva host in host_env
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

run: plugin_env host_env $(BUILD)/demo/catalogue.json $(BUILD)/climrecon.toml ## Run the plugin through the real Freva host on a generated archive
	@echo "Running: freva plugin climrecon variable=tas"
	@CLIMRECON_CONFIG="$(CURDIR)/$(BUILD)/climrecon.toml" $(HOST)/bin/python host/setup_host.py "$(STATE)" -- \
		freva plugin climrecon variable=tas
	@echo
	@echo "The report: $$(ls -t "$(STATE)"/output/*/*/*/climrecon/*/report.html | head -n 1)"

lint: $(ENV)/.tested ## Check style, spelling, types and layers
	@$(ENV)/bin/ruff check .
	@$(ENV)/bin/ruff format --check -q .
	@$(ENV)/bin/codespell
	@$(ENV)/bin/mypy
	@$(ENV)/bin/lint-imports --no-cache >/dev/null && echo "Layers: kept"

# Needs the Python environment alone: no system package, no host, no network.
check: lint ## Check everything that takes under two minutes
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q -n $(WORKERS) --dist loadfile -m "not host and not slow and not browser" $(FAST)

test: lint host_env ## Run all checks and tests
	@python3 host/system_packages.py $(TEST_PACKAGES)
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(MEASURED)

coverage: ## Run all checks and tests and report which lines they reach, a fifth slower
	@rm -f .coverage .coverage.*
	@$(MAKE) test MEASURED="--cov --cov-report=term"

faults: $(ENV)/.tested ## Look for faults for an hour: signals and kills at every commit point, made-up files
	@CLIMRECON_FAULTS_SECONDS=300 OMP_NUM_THREADS=1 $(PY) -m pytest -q --timeout 7200 tests/faults

docs: $(ENV)/.tested ## Build the documentation in build/site; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(ENV)/bin/mkdocs build && echo "Documentation: $(BUILD)/site/index.html"

bench: plugin_env ## Time start-up, reconstruction, preparation and the watch
	@for script in startup reconstruct prepare release_watch; do $(PY) benchmarks/$$script.py --json; done

clean: ## Remove what was built and cached, but for the environments
	rm -rf $(BUILD) .pytest_cache .mypy_cache .ruff_cache .coverage*
