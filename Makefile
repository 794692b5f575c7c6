# Everything a developer or a newcomer types. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
BIN := .venv/bin
LOCKS := requirements/bootstrap.txt requirements/dev.txt requirements/bench.txt
INSTALLED := .venv/installed

# uv reads no pip.conf and no PIP_*: what they say of indexes is handed on, unless UV_* says more.
define WITH_INDEX
pip_says() { $(BIN)/python -m pip config get ":env:.$$1" 2>/dev/null \
	|| $(BIN)/python -m pip config get "install.$$1" 2>/dev/null \
	|| $(BIN)/python -m pip config get "global.$$1" 2>/dev/null || true; }; \
hand_on() { local value; value="$${!2:-$$(pip_says "$$1" | xargs | tr ' ' "$$3")}"; \
	if [ -n "$$value" ]; then export "$$2=$$value"; fi; }; \
hand_on index-url UV_DEFAULT_INDEX ' '; \
hand_on extra-index-url UV_INDEX ' '; \
hand_on find-links UV_FIND_LINKS ','; \
hand_on trusted-host UV_INSECURE_HOST ' '; \
hand_on cert SSL_CERT_FILE ' ';
endef

.PHONY: help run stop demo-alert check pytest test bench bench-stream lock clean

help: ## List these targets.
	@sed -nE 's/^([a-z.-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

.venv: $(INSTALLED) ## Make the virtual environment from the hashed locks.

$(INSTALLED): $(LOCKS) pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not on PATH: install Python 3.11 with its venv module, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	@$(WITH_INDEX) export VIRTUAL_ENV=$(CURDIR)/.venv UV_INDEX_STRATEGY=unsafe-best-match; \
	$(BIN)/uv pip sync --quiet --require-hashes $(LOCKS); \
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

run: $(INSTALLED) ## Start the whole platform on this machine and bring the sample files through.
	@$(BIN)/mysimbdp up
	@$(BIN)/mysimbdp demo

stop: ## End every process that `make run` started.
	@test ! -x $(BIN)/mysimbdp || $(BIN)/mysimbdp down

demo-alert: $(INSTALLED) ## Miss a promised figure on purpose, on the running platform, and watch.
	@$(BIN)/mysimbdp demo-alert

check: $(INSTALLED) ## Check style, types, layers and the committed agreements.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mysimbdp check

pytest: $(INSTALLED) ## Run all tests, on real services of their own.
	$(BIN)/python -m pytest

test: check pytest ## Run everything that proves it: the checks and all tests.

bench: $(INSTALLED) ## Compare with other ways to load a CSV file, on one mongod.
	$(BIN)/python -m bench

bench-stream: $(INSTALLED) ## Compare with other ways from Kafka into MongoDB; ten minutes.
	$(BIN)/python -m bench.stream

lock: $(INSTALLED) ## Renew the hashed locks after a change of requirements/*.in.
	@$(WITH_INDEX) for name in bootstrap runtime dev bench production; do \
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 -o requirements/$$name.txt requirements/$$name.in; done
	@$(BIN)/python -m mysimbdp.local_stack.kafka_jars
	@$(BIN)/python -m bench.stream.connect_jars

clean: ## Stop the stack and delete the virtual environment and caches, but no state and no data.
	@test ! -x $(BIN)/mysimbdp || $(BIN)/mysimbdp down
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
