# Two commands on a fresh machine: `make demo` and `make test`. Needs Python 3.11+ with venv, g++ and git.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := $(shell find native -name '*.cpp' -o -name '*.hpp' -o -name CMakeLists.txt) pyproject.toml
SAMPLE := examples/sample

.PHONY: help demo test test-slow lint format build openapi bench-smoke clean

help:
	@echo 'make demo         install, select from the sample that is shipped, show what was chosen'
	@echo 'make test         install what the tests need, run them (minutes)'
	@echo 'make test-slow    the tests that take longer'
	@echo 'make lint         ruff and mypy'
	@echo 'make build        wheel and source distribution into dist/'
	@echo 'make openapi      docs/openapi.json anew, after a change of the REST API'
	@echo 'make bench-smoke  the benchmarks on the sample, in seconds; docs/benchmarks.md for the real ones'

# Installed again when native code or the package's own description changes; Python edits show at once.
$(VENV)/installed: $(SOURCES)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'installing assay and what it needs into $(VENV) (a minute or two the first time) ...'
	@$(PIP) install --editable .
	@touch $@

$(VENV)/installed-tests: $(VENV)/installed
	@echo 'installing what the tests need ...'
	@$(PIP) install torch==2.13.0
	@$(PIP) install --editable '.[test]'
	@touch $@

$(VENV)/installed-lint: $(VENV)/installed-tests
	@$(PIP) install --editable '.[test,lint]'
	@touch $@

demo: $(VENV)/installed
	@$(BIN)/python examples/demo.py

test: $(VENV)/installed-tests
	$(BIN)/python -m pytest -q --durations=25 --durations-min=3

test-slow: $(VENV)/installed-tests
	$(BIN)/python -m pytest -q -m slow

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

build: $(VENV)/installed
	@$(PIP) install build
	$(BIN)/python -m build --outdir dist .

openapi: $(VENV)/installed-tests
	$(BIN)/python docs/make_openapi.py

bench-smoke: $(VENV)/installed
	$(BIN)/python benchmarks/speed.py --smoke
	$(BIN)/python benchmarks/minhash.py --smoke

clean:
	rm -rf $(VENV) build dist demo
