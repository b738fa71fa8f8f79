# Thin: each target is the command it shows. All need only Python >= 3.11, git and make.
PYTHON ?= python3
BIN := .venv/bin
SNAKEMAKE := $(BIN)/snakemake --profile profiles/local
MINIATURE := --configfile presets/miniature.yaml
FULL := $(MINIATURE) presets/miniature-full.yaml
SMOKE := $(MINIATURE) presets/smoke.yaml
STUDY ?= $(MINIATURE)
KILLS ?= 50
STAMP := .venv/locked
SOURCES := workflow_scripts tests $(wildcard benchmarks)
UV := $(shell sed -n 's/^uv==\([^ ]*\).*/\1/p' envs/requirements.txt)

.PHONY: help setup demo demo-full resume test test-slurm lint unit smoke campaign adopt benchmark clean lock

help:
	@echo "make demo       the miniature study, to its report (ten minutes on two cores)"
	@echo "make resume     go on with a study that was killed: STUDY='--configfile presets/mine.yaml', else the miniature"
	@echo "make demo-full  every family and size, three seeds (an hour)"
	@echo "make test       lint, unit tests, and the smoke study"
	@echo "make test-slurm the tests on a SLURM of three nodes, started here (root, Debian or Ubuntu; 6 minutes on two cores)"
	@echo "make lint       format, style and types"
	@echo "make campaign   KILLS=50: the smoke study, killed so many times and resumed, comes to the same figures"
	@echo "make benchmark  speed against peers, short form"
	@echo "make adopt      take over results that were made elsewhere"
	@echo "make clean      remove the miniature's and the tests' results"
	@echo "make lock       write envs/requirements.txt from envs/requirements.in"

setup: $(STAMP)

$(STAMP): envs/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "error: Python >= 3.11 is needed; PYTHON=$(PYTHON) is " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python envs/requirements.txt
	touch $@

demo: setup
	$(SNAKEMAKE) $(MINIATURE)
	$(SNAKEMAKE) $(MINIATURE) --report results/miniature/report.html
	@echo "The report: $(CURDIR)/results/miniature/report.html"

# Any study: make resume STUDY="--configfile presets/mine.yaml"
resume: setup
	$(BIN)/python -m workflow_scripts.provenance.resume --profile profiles/local $(STUDY)

demo-full: setup
	$(SNAKEMAKE) $(FULL)
	$(SNAKEMAKE) $(FULL) --report results/miniature/report.html
	@echo "The report: $(CURDIR)/results/miniature/report.html"

test: lint unit smoke
	@echo "The tests on SLURM (tests/slurm) did not run: make test-slurm starts one for them."

test-slurm: setup
	tests/slurm/run.sh

lint: setup
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/python tests/workflow/lint.py
	$(BIN)/mypy

unit: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup tests/unit tests/workflow

smoke: setup
	rm -rf results/smoke
	$(SNAKEMAKE) $(SMOKE)
	$(SNAKEMAKE) $(SMOKE) --report results/smoke/report.html
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/smoke

adopt: setup
	$(BIN)/python -m workflow_scripts.provenance.adopt

# In a copy of the repository in a temporary folder. AGAINST=results/smoke takes that folder for the undisturbed run's, else
# one is made first.
campaign: setup
	$(BIN)/python -m tests.campaign.kills --kills $(KILLS) $(if $(AGAINST),--against $(AGAINST))
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/campaign

benchmark: setup
	for script in $(filter-out benchmarks/harness.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$script --quick || exit 1; done

# Only what can be made again in minutes; a study of your own stays.
clean:
	rm -rf results/miniature results/smoke .pytest_cache .mypy_cache .ruff_cache

lock: setup
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --override envs/overrides.txt envs/requirements.in -o envs/requirements.txt
