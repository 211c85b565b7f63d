# `make` lists what there is. `make demo` and `make test` need nothing but Python 3.10 or newer: the first run sets up .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# several processes with one thread each: two threads in one process wait for each other
PYTEST := -m pytest -n auto --maxprocesses 8 --dist loadfile
# many tests start a process of their own: it finds invset compiled, also where that is switched off
TESTED := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=
BENCHMARKS := step peak torch_lucent steps full startup runtime batched

.DEFAULT_GOAL := help
PAPER := fig1 fig2 fig3 fig4 fig5 fig6 fig7 fig8 fig9 table1 claims_both claims_levels claims_seeds claims_walk
.PHONY: help install demo demo-imagenet test test-lowest test-newest stress lint docs constraints bench clean evolution figures fooling $(PAPER)

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-13s %s\n", $$1, $$2 }'
	@echo "PYTHON=/path/to/python3 chooses the Python that .venv is made with ($(PYTHON))."

install: $(STAMP)  ## make .venv and install invset in it, with the tools for development

$(STAMP): pyproject.toml
	@command -v "$(PYTHON)" >/dev/null || { echo "There is no $(PYTHON) here: install Python 3.10 or newer, or type make PYTHON=/path/to/python3."; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "invset needs Python 3.10 or newer, but $(PYTHON) is $$("$(PYTHON)" --version 2>&1): type make PYTHON=/path/to/a/newer/python3."; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv $(VENV) || { echo "$(PYTHON) could not make a virtual environment: install its venv module (on Debian and Ubuntu: apt install python3-venv)."; exit 1; }
	@echo "Installing invset and what it needs into $(VENV) (the first time takes a few minutes) …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(STAMP)  ## sample four inverse sets: a class of ImageNet, a ladder of ranges, a hidden neuron, an intersection
	$(BIN)/invset run experiment=imagenet/volcano
	$(BIN)/invset run experiment=demo/ladder
	$(BIN)/invset run experiment=demo/hidden
	$(BIN)/invset run experiment=demo/intersection

demo-imagenet: $(STAMP)  ## the same of a real ImageNet network, 224 pixels: a class, a ladder, a hidden channel, an intersection
	$(BIN)/invset run experiment=imagenet/volcano
	$(BIN)/invset run experiment=imagenet/ladder
	$(BIN)/invset run experiment=imagenet/hidden
	$(BIN)/invset run experiment=imagenet/intersection || test $$? -eq 3

test: $(STAMP)  ## run the tests
	$(TESTED) $(BIN)/python $(PYTEST)

# Environments of their own; uv resolves to the lowest versions, which pip can't.
test-lowest: $(STAMP)  ## run the tests with the lowest versions that pyproject.toml allows, in .venv-lowest
	$(BIN)/python -m pip install -q --disable-pip-version-check uv
	test -x .venv-lowest/bin/python || $(BIN)/uv venv -q --seed --python "$(BIN)/python" .venv-lowest
	$(BIN)/uv pip install -q --python .venv-lowest/bin/python --resolution lowest-direct -e '.[dev]'
	$(TESTED) .venv-lowest/bin/python $(PYTEST)

test-newest: $(STAMP)  ## run the tests with the newest versions that pyproject.toml allows, in .venv-newest
	test -x .venv-newest/bin/python || $(BIN)/python -m venv .venv-newest
	.venv-newest/bin/python -m pip install -q --disable-pip-version-check --upgrade --upgrade-strategy eager -e '.[dev]'
	$(TESTED) .venv-newest/bin/python $(PYTEST)

stress: $(STAMP)  ## kill commands, change files, type random words: tests/stress (two hours on one core)
	for kind in "run 50" "writing 20" "sweep 20" "fetch 20"; do OMP_NUM_THREADS=1 $(BIN)/python tests/stress/kills.py $$kind || exit 1; done
	OMP_NUM_THREADS=1 $(BIN)/python tests/stress/sweeps.py 60 10
	OMP_NUM_THREADS=1 $(BIN)/python tests/stress/trainings.py 20
	$(BIN)/python tests/stress/files.py --count 5000
	$(BIN)/python tests/stress/words.py 1000

lint: $(STAMP)  ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy invset
	$(BIN)/codespell
	$(BIN)/python tests/prose.py

docs: $(STAMP)  ## build the site in build/site, which opens from the disk; a dead link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "Open build/site/index.html."

# a file of its own for each Python and system: torch's wheels differ
constraints: $(STAMP)  ## write constraints.txt, the versions in .venv: pip install -c constraints.txt makes the same elsewhere
	$(BIN)/python -m pip list --format=freeze --disable-pip-version-check --exclude-editable --exclude invset > constraints.txt
	@echo "constraints.txt has $$(wc -l < constraints.txt) packages."

bench: $(STAMP)  ## run benchmarks/ in turn, results in outputs/benchmarks (half an hour on two cores, 3 GB of memory)
	@for name in $(BENCHMARKS); do \
		echo "benchmarks/$$name.py"; \
		$(BIN)/python benchmarks/$$name.py || exit 1; \
	done

# A figure is a sweep, configs/experiment/figures/NETWORK/NAME.yaml, and then a picture of it, which is drawn again without sampling
# when outputs/figures/NETWORK/NAME/figure.png is deleted. A sweep that did not reach a range (exit code 3) is drawn as it is.
NETWORK ?= mini
SWEEPS  := $(notdir $(basename $(filter-out %/ladder.yaml,$(wildcard configs/experiment/figures/$(NETWORK)/*.yaml))))
FIGURES := outputs/figures/$(NETWORK)

figures: $(or $(SWEEPS),fig1)  ## make all figures of the paper (NETWORK=mini; or caffenet, places205), in outputs/figures
	$(BIN)/python benchmarks/results.py $(FIGURES)

ifneq ($(filter fig1,$(SWEEPS)),)
fig1: $(FIGURES)/ladder/samples.png
endif

$(SWEEPS): %: $(FIGURES)/%/figure.png

$(filter-out $(SWEEPS),$(PAPER)):
	@echo "NETWORK=$(NETWORK) has no $@, it has $(or $(SWEEPS),none): see configs/experiment/figures"; exit 1

$(FIGURES)/%/figure.png: $(FIGURES)/%/sweep.csv
	$(BIN)/invset figure $(@D)$(if $(REAL), real=$(REAL))

$(FIGURES)/%/sweep.csv: configs/experiment/figures/$(NETWORK)/%.yaml | $(STAMP)
	rm -rf $(@D)
	$(BIN)/invset run -m experiment=figures/$(NETWORK)/$* $(ARGS) || test $$? -eq 3

$(FIGURES)/ladder/samples.png: configs/experiment/figures/$(NETWORK)/ladder.yaml | $(STAMP)
	rm -rf $(@D)
	$(BIN)/invset run experiment=figures/$(NETWORK)/ladder $(ARGS) || test $$? -eq 3

# docs/results-fooling.md. The fooling class needs MNIST's file of 10,000 digits: make fooling DIGITS=t10k-images-idx3-ubyte.gz
FOOLING := $(notdir $(basename $(wildcard configs/experiment/fooling/*.yaml)))

fooling: $(FOOLING:%=outputs/fooling/%/sweep.csv)  ## evolve and climb pictures that fool networks, in outputs/fooling (an hour on one core)
	test -z "$(DIGITS)" || OMP_NUM_THREADS=1 $(BIN)/python benchmarks/fooling.py --digits "$(DIGITS)"

outputs/fooling/%/sweep.csv: configs/experiment/fooling/%.yaml | $(STAMP)
	rm -rf $(@D)
	OMP_NUM_THREADS=1 $(BIN)/invset run -m experiment=fooling/$* $(ARGS)

.SECONDARY:

evolution: $(STAMP)  ## make the table of docs/results-evolution.md in outputs/evolution (DATA=t10k-images-idx3-ubyte.gz, its labels beside it; two hours on a core)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/evolution.py data=$(DATA) $(ARGS)

clean:  ## delete .venv, caches, builds and EVERY run in outputs/
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find outputs -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
