# Runs Sluice from a checkout. Needs python3.11 (or 3.12) and make; installs everything else into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := PYTHONPATH=include $(BIN)/python
SOURCE ?=
# Two processes run the tests, each with its own stack. External engines can serve only one process.
PROCESSES := $(if $(filter external,$(SLUICE_TEST_STACK)),0,2)
STAMP := $(VENV)/.installed
# The same name as in docker-compose.yml.
IMAGE = sluice:$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' include/sluice/__init__.py)

.DEFAULT_GOAL := help
.PHONY: help install demo up down status lint check test drill coverage bench wheel image clean docs lock

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## install the locked dependencies into .venv

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || \
	  { echo "Sluice needs Python 3.11 or 3.12; found $$($(PYTHON) --version). Set PYTHON=, e.g. make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check "$$(grep -oE '^uv==[0-9.]+' requirements.txt)"
	@echo "installing the lock into $(VENV)"
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes --no-deps -r requirements.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## ingest a real folder through Airflow into all stores, then search three times (SOURCE=<uri> for your own)
	@$(RUN) -m demo $(if $(SOURCE),--source "$(SOURCE)")

up: install ## start the engines and Airflow
	@$(RUN) -m demo --only-up

down: ## stop everything that was started here
	@test -x $(BIN)/python || { echo "nothing was started here: there is no .venv"; exit 0; }; $(RUN) -m devstack down

status: install ## show what runs
	@$(RUN) -m devstack status || true # exit code 1 means that something does not run; it is for scripts

lint: install ## check formatting, ruff, types and layers
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@PYTHONPATH=include $(BIN)/lint-imports --no-cache

check: lint ## lint, and run the unit tests
	@$(RUN) -m pytest tests/unit

test: lint ## lint, and run every test on real engines
	@$(RUN) -m pytest -n $(PROCESSES) --no-loadscope-reorder

drill: install ## run the slow tests
	@$(RUN) -m pytest -m drill

coverage: install ## run unit and contract tests with coverage; fail below .ci/coverage-floor (RAISE=1 raises it)
	@$(RUN) -m coverage run -m pytest tests/unit tests/contract
	@$(BIN)/coverage report --skip-covered --sort=cover
	@$(BIN)/python .ci/coverage_floor.py "$$($(BIN)/coverage report --format=total --precision=2)" $(if $(RAISE),--raise)

bench: install ## write measurements into bench/results
	@PYTHONPATH=include:.:tests $(BIN)/python -m bench

wheel: install ## build the source distribution and the wheel into dist/
	@$(BIN)/uv build -q --clear --no-build-isolation --python $(BIN)/python --out-dir dist
	@ls dist/*

image: ## build the container image with Docker
	@command -v docker >/dev/null || { echo "docker is missing. Install Docker Engine 23 or later (it brings BuildKit), then run make image again."; exit 1; }
	@docker info >/dev/null 2>&1 || { echo "docker is installed, but its daemon does not answer. Start it, and check that you may use its socket."; exit 1; }
	docker build --target runtime --tag $(IMAGE) .

clean: ## delete the data folder, after asking (FORCE=1: without asking)
	@$(RUN) -m devstack clean $(if $(FORCE),--force)

docs: install ## rewrite .env.example, docs/dags.md and the index of decisions
	@PYTHONPATH=include $(BIN)/python docs/env_example.py > .env.example
	@$(BIN)/python docs/dags.py > docs/dags.md
	@$(BIN)/python docs/decisions_index.py > docs/decisions/README.md

lock: $(STAMP) ## resolve requirements.in into requirements.txt
	@$(BIN)/uv pip compile requirements.in --override requirements.override --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --upgrade -q -o requirements.txt
