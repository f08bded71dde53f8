# The way in. `make` alone prints what there is.
PYTHON ?= python3
PIPELINE ?= jointkd
PRESET ?= digits
OUTPUT ?= runs
ARGS ?=

BIN := .venv/bin
.DEFAULT_GOAL := help

##@ Use
.PHONY: run
run: setup ## Run PIPELINE (jointkd, or pcl) with PRESET (digits) and write a report; ARGS="--set seed=1" sets any field
	@$(BIN)/peerkd run $(PIPELINE) --preset $(PRESET) --output $(OUTPUT) $(ARGS)

##@ Test
.PHONY: test check lint types imports
test: setup ## Run all tests that this machine can run
	@$(BIN)/pytest

check: lint types imports compiled test ## All that a change must pass

lint: setup ## Style and formatting
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup ## Static types
	@$(BIN)/mypy

imports: setup ## Who may import whom
	@$(BIN)/lint-imports --no-logo

##@ Measure
.PHONY: bench-pcl
bench-pcl: setup ## Time a step of PCL; ARGS="--architectures resnet32 --output FILE", or --help
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.pcl_step $(ARGS)

##@ Develop
.PHONY: setup format compile compiled docs lock clean
setup: .venv/ready ## Make the environment in .venv from the lock

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "peerkd needs Python 3.11 or newer; set PYTHON to one."; exit 2; }
	@$(PYTHON) -m venv .venv
	@awk '/^[^ ]/ {wanted = /^uv==/} wanted' requirements.lock > .venv/uv.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement .venv/uv.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch .venv/ready

format: setup ## Format the code
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

compile: setup ## Compile the pipelines to YAML
	@$(BIN)/python -m pipelines.compile

compiled: compile ## Check that the committed YAML is what the code compiles to
	@git diff --exit-code -- pipelines

docs: setup ## Write the reference pages that come from the code
	@$(BIN)/python -m peerkd.config.describe jointkd > docs/experiment.md
	@$(BIN)/python -m peerkd.config.describe pcl > docs/pcl-experiment.md
	@$(BIN)/python -m peerkd.results.describe > docs/results-table.md
	@$(BIN)/python -m peerkd.results.describe curves > docs/curves-table.md

lock: setup ## Resolve the dependencies anew
	@$(BIN)/uv pip compile --quiet --universal --all-extras --generate-hashes --no-header --no-annotate \
	  --python-version 3.11 pyproject.toml --output-file requirements.lock

clean: ## Remove the environment; results in runs/ stay
	@rm -rf .venv

.PHONY: help
help:
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
