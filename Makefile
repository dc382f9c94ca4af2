# make install | quickstart | test | lint | docs. Everything lives in .venv; a second call does nothing that is already done.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
CPU    := https://download.pytorch.org/whl/cpu
# A worker for every core, each of one thread; who is done takes tests from the others. Byte code is kept even where the
# shell forbids it: tests start hundreds of commands, and each would compile all that it imports.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

.PHONY: install quickstart test test-fast test-lowest lint docs clean

install: $(STAMP)

# Where nvidia-smi finds no GPU, torch comes without CUDA, if pip can see such a build: a third of the size.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@index=""; \
	nvidia-smi >/dev/null 2>&1 || ! $(BIN)/python -c 'import urllib.request as r; r.urlopen("$(CPU)/torch/", timeout=5)' \
		2>/dev/null || index="--extra-index-url $(CPU)"; \
	get="$(BIN)/python -m pip install --quiet --constraint constraints.txt $$index"; \
	case "$$($$get --dry-run --no-deps --report - torch)" in \
		*+cpu*) echo "installing into $(VENV), a few minutes: torch without CUDA, 2.4 GB with all the rest ...";; \
		*) echo "installing into $(VENV), a few minutes: torch with CUDA where there is a build, 5.8 GB with all the rest ...";; \
	esac; \
	$$get torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs,minilm,quantize,serve]'
	touch $(STAMP)

quickstart: install
	$(BIN)/genrec fit  --config synthetic_setrec.yaml
	$(BIN)/genrec test --config synthetic_popularity.yaml
	$(BIN)/genrec test --config synthetic_setrec.yaml
	$(BIN)/genrec report runs/synthetic_popularity runs/synthetic_setrec
	@echo "to go on: source $(BIN)/activate, then genrec --help"

test: install
	$(PYTEST) --durations 10

# While one works: the rooms by themselves, without the commands.
test-fast: install
	$(PYTEST) -m "not slow" $(addprefix tests/,analysis assets backbones config data decoding evaluation identifiers losses recommenders testing)

# The lowest versions that pyproject.toml declares, in an environment of their own (6 GB with CUDA).
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable '.[dev,serve]'
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -m 'not slow'

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Not --quiet, which hides the warnings that are to be errors.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache
