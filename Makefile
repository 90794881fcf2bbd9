# Every command of the project. A Python of 3.11 or newer is all it needs: the rest goes into .venv (by uv where there is one).

BIN     := .venv/bin
STAMP   := .venv/.installed
JOBS    ?= 2
PYTHON  ?= $(shell for name in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$name; break; }; done)
CORE    := protocols sdk core storage runloop runtime
SYSTEM  := git strace tmux

.PHONY: help demo test test-fast system lint types bench faults docs clean
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP)  ## an agent at work on real files: no key, no network
	@$(BIN)/autohands demo

test: $(if $(filter true,$(CI)),system) lint types  ## everything: lint, types, import contracts, all tests, coverage by branch
	@$(BIN)/coverage erase
	$(BIN)/pytest -n $(JOBS) --dist worksteal --cov --cov-report=
	@$(BIN)/coverage json -q -o .coverage.json && $(BIN)/python tools/coverage_table.py .coverage.json $(CORE)

test-fast: $(STAMP)  ## the tests that take no second, in under a minute
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not slow and not live" -q

system:  ## the programs that some tests need (apt as root or by sudo; brew)
	@CI="$(CI)" tools/system.sh $(SYSTEM)

lint: $(STAMP)  ## style, format, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo

types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy src tests tools examples/*.py docs/reference/generate.py

bench: $(STAMP)  ## the tables that the README quotes
	@set -e; for file in $$(grep -l __main__ benchmarks/*.py); do echo "== $$file"; $(BIN)/python $$file; done

faults: $(STAMP)  ## 1,000 kills and their score card: SEED=7 TRIALS=300 CARD=--json
	PYTHONPATH=tests $(BIN)/python -m faults.run $(if $(SEED),--seed $(SEED)) --trials $(or $(TRIALS),1000) $(CARD)

docs: $(STAMP)  ## run every snippet and example, check ARCHITECTURE.md against the tree
	$(BIN)/pytest -n $(JOBS) tests/architecture/test_docs.py tests/architecture/test_tree.py

clean:  ## remove what the other targets made
	rm -rf .venv build dist site htmlcov .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests tools benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(STAMP): pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "AutoHands needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@[ -x $(BIN)/python ] || "$(PYTHON)" -m venv .venv || { rm -rf .venv; \
		echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Installing into .venv"
	@if command -v uv >/dev/null && UV_PYTHON_DOWNLOADS=never uv pip install -q --python $(BIN)/python -e '.[dev]'; then :; \
		else $(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[dev]'; fi
	@touch $@
