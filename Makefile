# What a newcomer needs: `make demo` and `make test`. Each builds what it lacks in .venv first.

PYTHON ?= python3
PYTEST_ARGS ?=
BIN := .venv/bin
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt --build-constraints constraints.txt

# .venv is ours: without bytecode in it every process would compile all that it imports, some seconds of it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-all lint types docs bench clean

help:
	@echo "make demo      fit a real sensor file; forecasts, scores, plots and report.html in runs/demo"
	@echo "make test      the tests (about a quarter of an hour)"
	@echo "make test-all  slow statistics and every tutorial too"
	@echo "make lint      ruff and the import contract"
	@echo "make types     mypy"
	@echo "make docs      the documentation, in docs/_build/html"
	@echo "make bench     every script in benchmarks/"
	@echo "make clean     remove what was built (.venv, caches, runs)"

demo: .venv/.run
	$(BIN)/assim demo --out runs/demo

test: .venv/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

test-all: .venv/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "slow or not slow" $(PYTEST_ARGS)

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv/.dev
	$(BIN)/mypy

docs: .venv/.docs
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "The documentation is in docs/_build/html/index.html"

bench: .venv/.dev
	@for script in benchmarks/[a-z]*.py; do \
		echo "== $$script"; $(BIN)/python "$$script" || failed="$$failed $$script"; done; \
		test -z "$$failed" || { echo "Not run to the end:$$failed. Some need an argument or a variable, as they say."; exit 1; }

clean:
	rm -rf .venv .cache .pytest_cache .ruff_cache .mypy_cache .import_linter_cache build dist docs/_build runs

# Three sizes of the same environment. A stamp younger than what it was made from means: nothing to do.
.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { \
		echo "assim needs Python 3.12 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
		     "Install a newer one and say which: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || { echo "Setting up .venv (once; a minute or two) ..."; $(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@touch $@

.venv/.run: .venv/.python pyproject.toml constraints.txt
	@$(INSTALL) -e .
	@touch $@

.venv/.dev: .venv/.python pyproject.toml constraints.txt
	@$(INSTALL) -e ".[dask,dev]"
	@touch $@ .venv/.run

.venv/.docs: .venv/.dev
	@$(INSTALL) -e ".[dask,dev,docs]"
	@touch $@
