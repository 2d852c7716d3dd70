# `make repro` runs the pipeline, `make test` the tests, `make bench` pytest-benchmark; each sets up
# .venv first.
SHELL := /bin/bash
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv

.PHONY: repro test bench lint setup lock

repro: setup
	dvc repro

test: setup
	python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile

bench: setup
	python -m benchmark dataset
	python -m pytest -rs tests/throughput/bench

lint: setup
	ruff check
	ruff format --check
	mypy

setup: .venv/installed

# uv installs in about a minute, pip in about five; the lock's hashes are checked by both.
.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) .venv && \
	  uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock && \
	  uv pip install --quiet --no-deps --no-build-isolation --editable .; \
	else \
	  $(PYTHON) -m venv .venv && \
	  .venv/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock && \
	  .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .; \
	fi
	@touch $@

# The newest versions that pyproject.toml allows beside torch_xla.
lock:
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	  --python-version 3.11 --extra xla --extra lint --output-file requirements.lock pyproject.toml
