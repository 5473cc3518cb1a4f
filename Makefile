# make help lists what there is. Everything runs in .venv, which is made when it is needed.

PYTHON ?= python3
PORT ?= 3000
VENV := .venv
BIN := $(VENV)/bin
DAGSTER_HOME ?= $(CURDIR)/.dagster
export DAGSTER_HOME

.DEFAULT_GOAL := help
.PHONY: help demo run ui test lint docs clean

help: ## this list
	@echo "usage: make TARGET [PYTHON=python3.11] [PORT=3000] [RECIPE=...]"
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' Makefile | expand -t 12

demo: $(VENV)/.ready ## the embedded sample, from drawn portraits to report
	@$(BIN)/heml run pipelines/recipes/demo.yaml

run: $(VENV)/.ready ## one recipe: make run RECIPE=path/to/recipe.yaml
	@test -n "$(RECIPE)" || { echo "say which: make run RECIPE=path/to/recipe.yaml" >&2; exit 2; }
	@$(BIN)/heml run "$(RECIPE)"

ui: $(VENV)/.ready | home ## Dagster's UI with every recipe, on 127.0.0.1:PORT
	@$(BIN)/heml ui --port $(PORT)

test: $(VENV)/.ready-dev ## lint, types and all tests
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.ready-dev ## style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

docs: $(VENV)/.ready ## write the generated pages of docs/ again
	@$(BIN)/python -m pipelines.reference docs

clean: ## remove .venv and caches; results (store, .dagster) stay
	rm -rf $(VENV) heml.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +

.PHONY: home
home:
	@mkdir -p "$(DAGSTER_HOME)"
	@test -e "$(DAGSTER_HOME)/dagster.yaml" || cp pipelines/runtime/dagster.yaml "$(DAGSTER_HOME)/dagster.yaml"

# Made again when what is installed changes; -c pins every version.
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "HEML needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make PYTHON=python3.11 ..." >&2; exit 1; }
	@echo "Installing into $(VENV) (once; some minutes: torch is large) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@# Its first import compiles it, for a minute: here rather than in the middle of a run.
	@$(BIN)/python -c "import pymatting"
	@touch $@
	@echo "Installed."

# Tests also need the extras: they start a local Ray cluster and talk to S3 and Postgres.
$(VENV)/.ready-dev: $(VENV)/.ready
	@echo "Installing what the tests need into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e '.[dev,hub,inpaint,postgres,ray,s3]'
	@touch $@
