# The entry point. `make` without a target lists the targets.
PYTHON ?= python3
PIPELINE ?= jointkd
PRESET ?=
OUTPUT ?= runs
ARGS ?=
export REGISTRY TAG BASE_IMAGE BUILDER

# With PYTHON=, another version of Python than that of .venv has an environment of its own, such as .venv-3.13.
VENV := .venv
ifeq ($(origin PYTHON),command line)
VENV := $(shell version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); \
	if [ -z "$$version" ] || [ ! -e .venv/ready ] || .venv/bin/python -V | grep -qF " $$version."; then echo .venv; \
	else echo ".venv-$$version"; fi)
endif
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11
# The extras of pyproject.toml that each image installs. tests/manifests/test_images.py has the same lists.
CONTROL := --extra pipeline --extra report --extra cluster --extra s3 --extra metrics --extra data
TRAINER := --extra train --extra s3 --extra metrics

# A run starts many processes that import torch. If this variable were set, each of them would compile torch's modules.
unexport PYTHONDONTWRITEBYTECODE

##@ Use
.PHONY: run
run: setup ## Run PIPELINE (jointkd, pcl, collaborate) with PRESET (digits) and write a report; ARGS="--set seed=1" sets any field
	@$(BIN)/peerkd run "$(PIPELINE)" $(if $(PRESET),--preset "$(PRESET)") --output "$(OUTPUT)" $(ARGS)

##@ Test
.PHONY: test slow e2e wheel-check faults planted check lint types imports
test: setup ## Run the tests that this machine can run, except the slow ones; ARGS="tests/unit", or any of pytest's
	@# Files keep their order. If they were sorted by number of tests, the few tests that take minutes would come last.
	@$(BIN)/pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder $(ARGS)

slow: setup ## Run the slow tests as well, with twice as many generated examples; ARGS="tests/pipelines"
	@PEERKD_SLOW=1 $(MAKE) --no-print-directory test

e2e: setup ## Run studies and faults on the cluster that KUBECONFIG names; run `make images` first; JOB_KIND=trainjob
	@PEERKD_E2E=1 JOB_KIND=$(JOB_KIND) $(BIN)/pytest tests/e2e $(ARGS)

wheel-check: setup ## Install the wheel without extras in an empty environment, and check what works there
	@PEERKD_WHEEL=1 $(BIN)/pytest tests/test_wheel.py $(ARGS)

faults: setup ## Run the fault harness for hours; ARGS="--families store --scale 0.1", or --help
	@$(BIN)/python -m tests.faults $(ARGS)

planted: setup ## Plant defects in a copy of the tree, and check that the fault harness finds each
	@$(BIN)/python -m tests.faults.planted $(ARGS)

check: lint types imports compiled docs-site test ## Run all checks that a change must pass

lint: setup ## Check style and formatting
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup ## Check static types
	@$(BIN)/mypy

imports: setup ## Check the contracts on imports
	@$(BIN)/lint-imports --no-logo

##@ Deploy
.PHONY: wheel images manifests
wheel: setup ## Build the wheel in dist/
	@rm -rf dist/*.whl && $(BIN)/python -m hatchling build --target wheel --directory dist >/dev/null && ls dist/*.whl

images: wheel ## Build the images, tagged by commit; REGISTRY, TAG, BASE_IMAGE, BUILDER=buildah|docker, ARGS="--network host"
	@images/build control $(ARGS) && images/build trainer $(ARGS)

manifests: setup ## Build and check the manifests and images that a cluster uses
	@$(BIN)/pytest tests/manifests

##@ Measure
.PHONY: bench bench-gpu gpu-check bench-pcl bench-tuning bench-teacher bench-rounds
bench: setup ## Compare the speed of a sweep with other programs, in half an hour; ARGS="--quick", "--output FILE", or --help
	@$(BIN)/python -m benchmarks.sweep $(ARGS)

bench-gpu: ## Run the same benchmark on a GPU, with a Python that gpu-check finds; ARGS="--quick" takes some minutes
	@python=$$($(PYTHON) -m benchmarks.gpu_check.interpreter) || exit 2; PYTHONPATH=.:$$PYTHONPATH "$$python" \
	-m benchmarks.sweep --device cuda --batch 128 --samples 2560 --workloads resnet18 resnet20 digits $(ARGS)

gpu-check: ## Check the code for GPUs in 8 minutes, with any Python that has torch; ARGS="--wheels FOLDER", or --help
	@$(PYTHON) -m benchmarks.gpu_check $(ARGS)

bench-pcl: setup ## Time a step of PCL; ARGS="--architectures resnet32 --output FILE", or --help
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.pcl_step $(ARGS)

bench-tuning: setup ## Compare the tuner with other tuners on full sweeps; ARGS="--quick", "TABLE... --output FILE", or --help
	@$(BIN)/python -m benchmarks.tuning $(ARGS)

bench-teacher: setup ## Measure what a teacher is worth, by transfer set, loss and target; ARGS="--output FILE", or --help
	@$(BIN)/python -m benchmarks.teacher_part $(ARGS)

bench-rounds: setup ## Compare the methods of rounds over seeds and skews; ARGS="--seeds 0 --output FILE", or --help
	@$(BIN)/python -m benchmarks.rounds $(ARGS)

##@ Develop
.PHONY: setup format compile compiled docs docs-site docs-serve sizes licences rules lock clean
setup: $(VENV)/ready ## Create the environment in .venv from the lock; PYTHON=python3.13 makes one for that version

$(VENV)/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "peerkd needs Python 3.11 or newer; set PYTHON to one."; exit 2; }
	@echo "Installing the packages of requirements.lock in $(VENV). This takes about 6 GB and, the first time, some minutes."
	@{ $(PYTHON) -m venv $(VENV) && \
	awk '/^[^ ]/ {wanted = /^uv==/} wanted' requirements.lock > $(VENV)/uv.lock && \
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement $(VENV)/uv.lock && \
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock && \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . && \
	touch $(VENV)/ready && \
	echo "Installed. Next: make run, or $(BIN)/peerkd --help."; } || { \
	df -Pk . | awk 'NR == 2 {printf "The set-up of $(VENV) failed. It needs about 6 GB of free space, got %.1f GB.\n", $$4 / 1e6}'; \
	exit 2; }

format: setup ## Format the code
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

compile: setup ## Compile the pipelines to YAML
	@$(BIN)/python -m pipelines.compile

compiled: compile ## Check that the committed YAML is what the code compiles to
	@git diff --exit-code -- pipelines

# $(call written,FILE,PROGRAM): FILE keeps its content if the program that writes it fails or is stopped.
written = $(BIN)/python $(2) >$(1).new && mv $(1).new $(1)

docs: setup ## Write the reference pages that are generated from the code
	@$(call written,docs/experiment.md,-m peerkd.config.describe jointkd)
	@$(call written,docs/pcl-experiment.md,-m peerkd.config.describe pcl)
	@$(call written,docs/collaborate-experiment.md,-m peerkd.config.describe collaborate)
	@$(call written,docs/results-table.md,-m peerkd.results.describe)
	@$(call written,docs/curves-table.md,-m peerkd.results.describe curves)
	@$(call written,docs/features-table.md,-m peerkd.results.describe features)
	@$(call written,docs/choices-table.md,-m peerkd.results.describe choices)
	@$(call written,docs/rounds-table.md,-m peerkd.results.describe rounds)
	@$(call written,docs/losses.md,-m peerkd.losses.describe)
	@$(call written,docs/targets.md,-m peerkd.losses.describe targets)
	@$(call written,docs/metrics.md,-m peerkd.metrics.describe)

docs-site: setup ## Build the site of the documents in dist/site; a dead link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet && echo "dist/site/index.html"

docs-serve: setup ## Show the site of the documents at http://127.0.0.1:8000, and follow changes
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

sizes: setup ## Write the sizes of all networks, which the forecast uses without torch
	@$(call written,peerkd/training/network_sizes.json,-m peerkd.models.sizes)

licences: setup ## Write the list of all packages with their licences
	@$(call written,docs/licences.md,images/licences.py)

MONITORING := manifests/components/monitoring
rules: ## Copy the rules of Prometheus into the object of its operator
	@sed '/^spec:/q' $(MONITORING)/prometheusrule.yaml > $(MONITORING)/prometheusrule.new
	@sed -n '/^groups:/,$$p' $(MONITORING)/rules.yaml | sed 's/^\(.\)/  \1/' >> $(MONITORING)/prometheusrule.new
	@mv $(MONITORING)/prometheusrule.new $(MONITORING)/prometheusrule.yaml

lock: setup ## Resolve the dependencies again and write the lock
	@$(LOCK) --all-extras pyproject.toml --output-file requirements.lock
	@$(LOCK) $(CONTROL) --constraint requirements.lock pyproject.toml --output-file images/control/requirements.txt
	@$(LOCK) $(TRAINER) --constraint requirements.lock pyproject.toml --output-file images/trainer/requirements.txt
	@$(LOCK) images/sbom-tool.in --output-file images/sbom-tool.txt
	@$(MAKE) --no-print-directory setup licences

clean: ## Remove the environments; results in runs/ stay
	@rm -rf .venv .venv-*

.PHONY: help
help:
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
