# Weighbridge. Needs Python 3.11 or newer and nothing else: everything is installed into .venv.

PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,\
	$(if $(shell $(p) -c 'import sys; sys.version_info >= (3, 11) and print(1)' 2>/dev/null),$(p))))
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq
ARGS ?=
PYTHONS = $(foreach p,python3.11 python3.12 python3.13 python3.14,$(if $(shell $(p) -c 'print(1)' 2>/dev/null),$(p)))

.DEFAULT_GOAL := help
.PHONY: help run demo test pythons soak check format bench bench-analytics conformance catalogue clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run ## start the gateway on 127.0.0.1:8707 (options: ARGS="--port 9000")
	@$(BIN)/weighbridge serve $(ARGS)

demo: $(VENV)/.run ## start it with a built-in demo provider and sample traffic
	@$(BIN)/weighbridge demo $(ARGS)

# The tests start Python some hundred times: our modules are compiled once, whatever the environment says of it.
test soak: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.dev ## run every test, real PostgreSQL included (or some: ARGS="tests/proxy -k chat")
ifeq ($(strip $(ARGS)),)
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
else
	$(BIN)/python -m pytest $(ARGS)
endif

pythons: ## run every test on each Python from 3.11 to 3.14 that is found (or PYTHONS="/path/to/python3 ...")
	@test -n "$(strip $(PYTHONS))" || { echo "no python3.11 to python3.14 is found; name some with PYTHONS=\"/path/to/python3 ...\"" >&2; exit 1; }
	@for python in $(PYTHONS); do \
		version=$$($$python -c 'import sys; print(*sys.version_info[:2], sep=".")') || exit 1; \
		$(MAKE) test PYTHON=$$python VENV=.venv-$$version || exit 1; \
	done

soak: $(VENV)/.dev ## run the long forms of the tests (faults, load, hostile input, property tests that look further)
	$(BIN)/python -m pytest -m "soak or further" --hypothesis-profile explore $(ARGS)

check: $(VENV)/.dev ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev ## put every file into the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## CPU per call and per chunk, beside nginx and a naive proxy (needs nginx, gcc; ARGS="--quick")
	$(BIN)/python -m bench $(ARGS)
	$(BIN)/python -m bench.streams

bench-analytics: $(VENV)/.dev ## every analytics endpoint over ten million calls: time, size, what the sums cost the writer (ARGS="--quick")
	$(BIN)/python -m bench.analytics $(ARGS)

conformance: $(VENV)/.dev ## recorded provider traffic through the gateway (needs the recordings beside the project)
	$(BIN)/python -m tools.conformance $(ARGS)

catalogue: $(VENV)/.dev ## compile the price catalogue again from genai-prices
	$(BIN)/python -m tools.catalogue $(ARGS)

clean: ## remove the environment and every cache
	rm -rf $(VENV) .venv-3.* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing (Debian: apt install python3-venv)" >&2; exit 1; }

$(VENV)/.run: pyproject.toml | $(BIN)/python
	@echo "Installing weighbridge (once)"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "Installing weighbridge with what tests and checks need (once)"
	@$(PIP) --editable ".[test,lint]"
	@touch $@ $(VENV)/.run
