# Two commands: `make run` indexes data/ and answers questions; `make test` proves that it works.
# Each target installs what it needs first, and is quick when there is nothing to do.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COMPILED := $(VENV)/.compiled
# Tests wait for processes and disks a fifth of their time: one more than there are cores.
WORKERS = $(shell $(PYTHON) -c 'import os; print(min(8, 1 + (os.cpu_count() or 1)))')
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: install run test check format bench bench-quick bench-publish clean

install: $(INSTALLED) $(COMPILED)

# torch comes first and pinned: any other request for it may fetch several GB of GPU libraries.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "reindex needs Python 3.11 to 3.13; choose one with make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Where PYTHONDONTWRITEBYTECODE is set, Python would compile each module at each start: a third of a short command.
$(COMPILED): $(INSTALLED) $(shell find src -name '*.py')
	@$(BIN)/python -m compileall -q src
	@touch $@

run: install
	@sh scripts/first-run.sh $(BIN)/reindex

test: install
	@$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=worksteal

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: install
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: install
	@$(BIN)/python benchmarks/run.py

bench-quick: install
	@$(BIN)/python benchmarks/run.py --quick

# The figures of the last `make bench` into README.md, with their plot: nobody writes them by hand.
bench-publish: install
	@$(BIN)/python benchmarks/run.py --publish

clean:
	rm -rf $(VENV) benchmarks/.envs .reindex .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
