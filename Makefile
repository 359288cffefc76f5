# What this project can do; `make` alone lists it. Everything goes on in .venv and .lacrosse, both ignored by git.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
STATE := .lacrosse
# The first Python that is new enough (and not too new for Spark); `make PYTHON=/path/to/python3.12` says which.
PYTHON_OK := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,\
	$(shell command -v $(name) >/dev/null 2>&1 && $(name) -c '$(PYTHON_OK)' 2>/dev/null && echo $(name))))

# The whole suite runs a file on each core, each worker with services of its own. In the files' order: the long ones,
# which have few tests, would come last.
PARALLEL := --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# What is held to the words of docs/style.md: files, and folders with all that is text in them.
PLAIN_ENGLISH := README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md .github docs lacrosse_assets bench examples docker notebooks \
	drill-storage-plugins Makefile Dockerfile docker-compose.yaml workspace.yaml setup.py pyproject.toml \
	$(filter-out %/test_docs.py,$(wildcard $(foreach depth,* */* */*/*,lacrosse_assets_tests/$(depth).py)))

.PHONY: help install game dev services env test test-services chaos fuzz bench screenshots lint banned-words clean python odbc chromium java

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Install everything into .venv

game: java $(STAMP) ## Play one game, with the score live in the terminal, to the final tables
	@$(BIN)/lacrosse game

dev: java $(STAMP) ## Start the services, Dagster and the box score page, until Ctrl-C
	@$(BIN)/lacrosse dev --page .

services: java $(STAMP) ## Start the services alone, until Ctrl-C
	@$(BIN)/lacrosse services

env: ## Write .env for Docker Compose, with new passwords
	@[ ! -e .env ] || { echo "Error: .env is there already: to start over, \`docker compose down -v\` and remove it" >&2; exit 1; }
	@umask 077; while IFS= read -r line; do \
		case $$line in *_PASSWORD=|*_TOKEN=|*_SECRET_ACCESS_KEY=) \
			line="$${line}Aa1$$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')" ;; \
			JUPYTER_USER=*) line="JUPYTER_USER=$$(id -u):$$(id -g)" ;; esac; \
		printf '%s\n' "$$line"; done <.env.example >.env

test: java odbc chromium ## Run the whole test suite
	@$(BIN)/python -m pytest $(PARALLEL)

test-services: java odbc ## Run the tests of the stores against those that the environment names
	@$(BIN)/python -m pytest -m services

bench: java $(STAMP) ## Measure the latency of a box score, next to stock Dagster; half an hour
	@$(BIN)/python -m bench
	@$(BIN)/python -m examples.boxscore_page.bench

chaos: java $(STAMP) ## Inject every fault into games; an hour, writes docs/chaos.md
	@$(BIN)/python -m lacrosse_assets_tests.chaos

fuzz: java $(STAMP) ## Read a million malformed lines twice, and play streams of 50 MB; some minutes
	@$(BIN)/python -m lacrosse_assets_tests.fuzz
	@$(BIN)/python -m pytest lacrosse_assets_tests/integration/test_hostile.py -k flood --megabytes 50

screenshots: java chromium $(STAMP) ## Play a game and take the pictures of README and docs
	@$(BIN)/python -m lacrosse_assets_tests.screenshots

lint: $(STAMP) banned-words ## Check style, import directions, types, spelling and wording
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/codespell
	@$(BIN)/mypy

banned-words: $(STAMP)
	@$(BIN)/python .ci/banned_words.py $(PLAIN_ENGLISH)

clean: ## Remove all local state: .venv, .lacrosse and caches
	@if [ -s $(STATE)/lock ] && kill -0 "$$(cat $(STATE)/lock)" 2>/dev/null; then \
		echo "Error: the services are up: end them first (Ctrl-C there, or \`kill $$(cat $(STATE)/lock)\`)" >&2; exit 1; fi
	@rm -rf $(VENV) $(STATE) .mypy_cache .pytest_cache .ruff_cache .hypothesis .tmp_dagster_home_* *.egg-info build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Bytecode is compiled once here, or each of Dagster's processes would compile its imports again wherever
# PYTHONDONTWRITEBYTECODE is set: 2 s more for each run.
$(STAMP): setup.py constraints.txt | python
	@echo "Installing into $(VENV); this takes a minute or so ..."
	@"$(PYTHON)" -m venv --clear $(VENV) >$(VENV).log 2>&1 || { \
		echo "Error: $(PYTHON) cannot make a virtual environment: on Debian and Ubuntu, \`apt-get install python3-venv\`" >&2; \
		echo "       (what it said is in $(VENV).log)" >&2; rm -rf $(VENV); exit 1; }
	@{ $(BIN)/python -m pip install --quiet -c constraints.txt uv \
		&& $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -c constraints.txt -e '.[dev]'; } \
		>$(VENV).log 2>&1 \
	|| { $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]' && $(BIN)/python -m compileall -q $(VENV)/lib; } \
		>>$(VENV).log 2>&1 \
	|| { echo "Error: the packages could not be installed: is there a network? (what pip said: $$(grep -m1 -i error $(VENV).log); all of it is in $(VENV).log)" >&2; exit 1; }
	@rm -f $(VENV).log
	@touch $@

python:
	@[ -n "$(PYTHON)" ] || { \
		echo "Error: Python 3.11, 3.12 or 3.13 is needed, and python3 is $$(python3 --version 2>/dev/null || echo 'not there'): install one, or name it with \`make PYTHON=...\`" >&2; exit 1; }
	@"$(PYTHON)" -c '$(PYTHON_OK)' 2>/dev/null || { \
		echo "Error: Python 3.11, 3.12 or 3.13 is needed, and $(PYTHON) is $$("$(PYTHON)" --version 2>/dev/null || echo 'none')" >&2; exit 1; }

# What pyodbc cannot be imported without, and no package of PyPI brings; as root on Debian and Ubuntu it is installed here.
odbc: $(STAMP)
	@$(BIN)/python -c 'import pyodbc' 2>/dev/null || { [ "$$(id -u)" = 0 ] && echo "Installing unixODBC ..." \
		&& { apt-get update && apt-get install -y unixodbc libgssapi-krb5-2; } >$(VENV)/odbc.log 2>&1; } || { \
		echo "Error: the tests of SQL Server need unixODBC: \`apt-get install unixodbc libgssapi-krb5-2\` as root" >&2; exit 1; }

# The browser of the box score page's tests.
chromium: $(STAMP)
	@for name in chromium chromium-browser google-chrome; do command -v $$name && break; done >/dev/null || { [ "$$(id -u)" = 0 ] && echo "Installing Chromium ..." \
		&& { apt-get update && apt-get install -y chromium; } >$(VENV)/chromium.log 2>&1; } || { \
		echo "Error: the tests of the box score page need Chromium: \`apt-get install chromium\` as root" >&2; exit 1; }

java: | python
	@"$(PYTHON)" lacrosse_assets/java.py
