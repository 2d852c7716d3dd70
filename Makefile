# `make repro` runs the pipeline, `make experiment` runs it with other parameters, `make peers` also
# measures other trainers, `make test` runs the tests, `make bench` pytest-benchmark, `make soak` the
# tests that take hours. Each sets up .venv first. `make test LOCK=newest` runs the tests in
# .venv-newest, with the newest torch.
SHELL := /bin/bash
PYTHON ?= python3
LOCK ?=
VENV := .venv$(addprefix -,$(LOCK))
LOCKED := requirements$(addprefix -,$(LOCK)).lock
# The tests to run: all, or some folders and options of pytest.
TESTS ?=
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
# DVC asks for the user's name; a number without a name (`docker run --user`) has none.
export USER ?= $(shell id -u)
# git sets these for a hook of the caller's repository; the targets are about this directory's.
unexport GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX GIT_COMMON_DIR GIT_OBJECT_DIRECTORY
# Python and pytest keep compiled modules: otherwise each of the tests' hundreds of processes would
# compile them again, which takes seconds.
unexport PYTHONDONTWRITEBYTECODE

ifneq ($(LOCK),)
ifneq ($(filter-out test lint setup,$(or $(MAKECMDGOALS),repro)),)
$(error LOCK is for test, lint and setup: the pipeline runs in .venv)
endif
endif

.PHONY: repro experiment peers test bench soak lint setup lock

repro: setup
	dvc repro

# make experiment S='train.adam=foreach train.max_epochs=3'
# DVC writes the parameters into params.yaml, and would leave them there where the run fails.
experiment: setup
	@before=$$(mktemp) && cp params.yaml $$before && \
	{ dvc exp run $(foreach change,$(S),-S '$(change)') || { cp $$before params.yaml; false; }; }; \
	status=$$?; rm -f $$before; exit $$status

# The modes of params.yaml and the peers. Only the throughput is measured again.
peers: .venv/peers
	@modes=$$(python -c 'from benchmark.common import modes, parameters; print(*dict.fromkeys( \
	  [*parameters.load_parameters().throughput.modes, *modes.PEERS]), sep=",")') && \
	$(MAKE) --no-print-directory experiment S="throughput.modes=[$$modes]"

test: setup
	python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal $(TESTS)

bench: setup
	python -m benchmark dataset
	python -m pytest -rs tests/throughput/bench

# Hours: trainings while other work runs, killed pipelines, spoilt input. The output names seeds.
soak: setup
	python -m benchmark dataset
	python -m tests.soak.reproducible
	python -m tests.soak.kills
	python -m tests.soak.restarts
	python -m tests.soak.networks
	python -m pytest --hypothesis-profile=soak --hypothesis-show-statistics -m fuzz

lint: setup
	ruff check
	ruff format --check
	mypy --num-workers auto

setup: $(VENV)/installed

# uv installs in about a minute, pip in about five; the lock's hashes are checked by both. uv leaves
# modules to be compiled when they are imported: most never are.
$(VENV)/installed: $(LOCKED) pyproject.toml conformance/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' || \
	  { echo "Python 3.11.4 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
	  uv pip sync --quiet --require-hashes $(LOCKED) && \
	  uv pip install --quiet --no-deps --no-build-isolation --editable . --editable ./conformance; \
	else \
	  $(PYTHON) -m venv $(VENV) && \
	  $(VENV)/bin/python -m pip install --quiet --require-hashes --no-deps -r $(LOCKED) && \
	  $(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable . --editable ./conformance; \
	fi
	@touch $@

# The newest peers that go with the lock; packages in the lock keep their versions.
.venv/peers: .venv/installed
	@sed -n 's/^\([^ ].*\) \\$$/\1/p' requirements.lock > .venv/locked.txt
	@if command -v uv >/dev/null; then \
	  uv pip install --quiet --constraint .venv/locked.txt --no-build-isolation --editable '.[peers]'; \
	else \
	  .venv/bin/python -m pip install --quiet --constraint .venv/locked.txt --no-build-isolation \
	    --editable '.[peers]'; \
	fi
	@touch $@

# The newest versions that pyproject.toml allows: together with torch_xla, and without it.
COMPILE := uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
  --python-version 3.11.4 --extra lint --extra notebook pyproject.toml
lock:
	$(COMPILE) --extra xla --output-file requirements.lock
	$(COMPILE) --upgrade --output-file requirements-newest.lock
