# Every command a developer needs. Nothing here wants an activated environment, or more than
# Python 3.11+ and make: the first target that needs `.venv` makes it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Versions for test-all, as `python3.11` and so on, on PATH or known to pyenv.
PYTHONS ?= 3.11 3.12 3.13
# `make test TESTS=tests/store/test_store.py ARGS='-k orphan'`; JOBS=1 runs one test file after the other.
TESTS ?=
ARGS ?=
JOBS ?= 2
# Slow tests are CI's.
MARKERS ?= $(if $(CI),,not slow)
# Where each of the checks looks; the link contentdb/migrations is followed by mypy alone.
SOURCES := $(wildcard contentdb migrations tests benchmarks demo docs/draw.py)
TYPED := $(wildcard contentdb tests benchmarks demo docs/draw.py)
PROTOS = $(wildcard contentdb/wire/*.proto)

# The lower bounds of pyproject.toml as exact versions, for test-oldest.
BIN_OLDEST := .venv-oldest/bin
define OLDEST
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]
wanted = project["dependencies"] + extras["metrics"] + extras["oci"]
print(*(line.replace(">=", "==") for line in wanted), sep="\n")
endef
export OLDEST

PYTEST = $(BIN)/python -m pytest $(if $(JOBS),-n $(JOBS) --dist loadfile)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-cluster test test-all test-oldest check lint types layers format bench bench-quick \
	bench-compare profile crash docs proto proto-check wheel clean

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; \
	do printf '  make %-15s %s\n' "$$name" "$$text"; done

# --- environments -----------------------------------------------------------------------------

# What a user installs, which is all that the demo needs.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'contentdb needs Python 3.11 or newer: make PYTHON=python3.11 …' >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) \
		|| { echo 'no venv here: on Debian, install python3-venv' >&2; exit 1; }
	@echo 'installing contentdb into $(VENV)'
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'  # knows --group
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[oci]'
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	@echo 'installing the tools of development into $(VENV)'
	@$(BIN)/pip install --quiet --disable-pip-version-check --group dev \
		--editable '.[bench,cluster,grpc,metrics,oci]'
	@touch $@

# --- the two commands of a newcomer -----------------------------------------------------------

demo: $(VENV)/.installed  ## show the main job: many processes take real files in, one is killed
	@$(BIN)/python demo/demo.py

demo-cluster: $(VENV)/.developed  ## show two hosts with one store; one is killed (needs PostgreSQL)
	@$(BIN)/pip install --quiet --disable-pip-version-check --group cluster-servers
	@$(BIN)/python demo/hosts.py

test: $(VENV)/.developed  ## run the tests (TESTS=file ARGS='-k word' JOBS=1)
	$(PYTEST) -m '$(MARKERS)' $(ARGS) $(TESTS)

# --- checks -----------------------------------------------------------------------------------

check: lint types layers proto-check test  ## all that CI asks: lint, types, layers, tests

lint: $(VENV)/.developed  ## ruff: rules and format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

format: $(VENV)/.developed  ## let ruff format, and fix what is safe to fix
	$(BIN)/ruff check --fix-only $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

types: $(VENV)/.developed  ## mypy, strict
	$(BIN)/mypy $(TYPED)

layers: $(VENV)/.developed  ## import-linter: which package may import which
	$(BIN)/lint-imports --no-logo

test-all:  ## run the tests under every Python of PYTHONS that is here
	@for v in $(PYTHONS); do \
		python=$$(PYENV_VERSION=$$v python$$v -c 'import sys; print(sys.executable)' 2>/dev/null) \
			|| { echo "== Python $$v is not here: skipped"; continue; }; \
		echo "== Python $$v"; \
		$(MAKE) --no-print-directory test PYTHON="$$python" VENV=.venv-$$v || failed="$$failed $$v"; \
	done; test -z "$$failed" || { echo "failed under Python$$failed" >&2; exit 1; }

test-oldest:  ## run the tests with the oldest dependencies that are promised
	@$(MAKE) --no-print-directory VENV=.venv-oldest .venv-oldest/.developed
	@$(BIN_OLDEST)/python -c "$$OLDEST" > .venv-oldest/oldest.txt
	@$(BIN_OLDEST)/pip install --quiet --disable-pip-version-check --no-deps -r .venv-oldest/oldest.txt
	$(MAKE) --no-print-directory VENV=.venv-oldest test

crash: $(VENV)/.developed  ## the crash suites, whole; writes docs/reliability.md (about an hour)
	@$(BIN)/pip install --quiet --disable-pip-version-check --group storm \
		|| echo 'pysqlite3 is not available: the storm runs on the stock SQLite alone'
	$(BIN)/python -m tests.crash $(ARGS)

# --- benchmarks -------------------------------------------------------------------------------

bench: $(VENV)/.developed  ## all benchmarks, recorded (minutes)
	$(BIN)/python -m benchmarks run $(ARGS)
	@command -v containerd ctr >/dev/null && $(BIN)/python -m benchmarks.serve \
		|| echo 'containerd and ctr are not here: the server is not measured'
	@command -v docker-registry skopeo >/dev/null && $(BIN)/python -m benchmarks.oci \
		|| echo 'docker-registry and skopeo are not here: pulls are not measured'

bench-quick: $(VENV)/.developed  ## the small ones, in under a minute
	$(BIN)/python -m benchmarks run --quick $(ARGS)

bench-compare: $(VENV)/.developed  ## what a change did (BASE=commit or recorded run)
	@test -n '$(BASE)' || { echo 'say what to compare with: make bench-compare BASE=main' >&2; exit 2; }
	$(BIN)/python -m benchmarks compare '$(BASE)' $(ARGS)

profile: $(VENV)/.developed  ## where the time of one fill_small goes
	$(BIN)/python -m benchmarks profile $(ARGS)

# --- what is made -----------------------------------------------------------------------------

proto: $(VENV)/.developed  ## make the Python code of the .proto files
	$(if $(PROTOS),$(call protoc,.),@echo 'no .proto files here yet')

proto-check: $(VENV)/.developed
	$(if $(PROTOS),@out=$$(mktemp -d) && trap 'rm -rf "$$out"' EXIT && $(call protoc,"$$out") \
		&& (cd "$$out" && find . -type f) | while read -r file; do cmp "$$out/$$file" "$$file" \
		|| { echo "$$file is not current: make proto" >&2; exit 1; }; done)

protoc = $(BIN)/python -m grpc_tools.protoc --proto_path=. --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	--plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	--python_out=$(1) --grpc_python_out=$(1) --mypy_out=$(1) --mypy_grpc_out=$(1) $(PROTOS)

docs: $(VENV)/.developed  ## draw docs/house.svg and the list of modules from the tree
	$(BIN)/python docs/draw.py

wheel: $(VENV)/.developed  ## build dist/*.whl
	@rm -rf build dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist

clean:  ## remove everything that was made, environments too
	rm -rf .venv .venv-* build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
