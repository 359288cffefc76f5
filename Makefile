# The commands of this project; `make` alone lists them. They write to .venv and .lacrosse only, both ignored by git.

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

# Where the words that docs/style.md bans are searched for: files, and folders with all text files in them.
PLAIN_ENGLISH := README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md .github docs lacrosse_assets bench examples docker notebooks \
	drill-storage-plugins Makefile Dockerfile docker-compose.yaml workspace.yaml setup.py pyproject.toml \
	$(filter-out %/test_docs.py,$(wildcard $(foreach depth,* */* */*/*,lacrosse_assets_tests/$(depth).py)))

.PHONY: help install game gameday dev services env test-unit test coverage test-services test-drill test-compose chaos fuzz bench screenshots lint banned-words clean python system java maven

help: ## List the commands
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Install everything into .venv

##@ Run

game: java $(STAMP) ## Play one game, with the score live in the terminal, to the final tables
	@$(BIN)/lacrosse game

gameday: java $(STAMP) ## Play GAMES games at once (12), with the scoreboard live in the terminal, to the final tables
	@$(BIN)/lacrosse gameday

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

##@ Test

test-unit: java $(STAMP) ## Run the quick tests, which need Python and Java alone; a minute
	@$(BIN)/python -m pytest $(PARALLEL) --dist loadgroup --hypothesis-profile quick lacrosse_assets_tests/unit

test: NEEDS := odbc chromium
test: java system ## Run the whole test suite
	@$(BIN)/python -m pytest $(PARALLEL)

coverage: NEEDS := odbc chromium
coverage: java system ## Run the whole test suite and list the lines that it does not reach; slower than make test
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m pytest $(PARALLEL)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --show-missing

test-services: NEEDS := odbc
test-services: java system ## Run the stores' tests against the servers that the environment variables name
	@$(BIN)/python -m pytest -m services

test-drill: NEEDS := odbc
test-drill: java system maven ## Run Apache Drill and its queries during a game and after it
	@$(BIN)/python -m pytest -m drill

test-compose: $(STAMP) ## Play games on Docker Compose and kill its services; twelve minutes
	@docker/standins/run $(BIN)/python -m pytest -m compose -rP lacrosse_assets_tests/compose

##@ Measure and inject faults

bench: java $(STAMP) ## Measure the latency of a box score and a game day, next to stock Dagster; an hour
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench.gameday
	@$(BIN)/python -m examples.boxscore_page.bench

chaos: java $(STAMP) ## Inject every fault into games and game days; an hour and a half, writes docs/chaos.md
	@$(BIN)/python -m lacrosse_assets_tests.chaos

fuzz: java $(STAMP) ## Compare with the reference model: a million malformed lines, random game days, streams of 50 MB; some minutes
	@$(BIN)/python -m lacrosse_assets_tests.fuzz
	@$(BIN)/python -m lacrosse_assets_tests.fuzz_days
	@$(BIN)/python -m pytest lacrosse_assets_tests/integration/test_hostile.py -k flood --megabytes 50

##@ Maintain

screenshots: NEEDS := chromium
screenshots: java system ## Play a game and take the screenshots of README and docs
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
	@rm -rf $(VENV) $(STATE) .mypy_cache .pytest_cache .coverage* .ruff_cache .hypothesis .tmp_dagster_home_* *.egg-info build
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

# The system packages that tests need and PyPI lacks: for SQL Server what pyodbc cannot be imported without, and the
# browser of the box score page. As root on Debian and Ubuntu they are installed, unless APT=no.
system: $(STAMP)
	@needs() { case " $(NEEDS) " in *" $$1 "*) ;; *) false ;; esac; }; missing=; \
	if needs odbc && ! $(BIN)/python -c 'import pyodbc' 2>/dev/null; then missing="$$missing unixodbc libgssapi-krb5-2"; fi; \
	if needs chromium; then \
		for name in chromium chromium-browser google-chrome; do command -v $$name && break; done >/dev/null || missing="$$missing chromium"; fi; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$(APT)" = no ] || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "Error: system packages are missing: install them with \`apt-get install$$missing\` as root" >&2; exit 1; fi; \
	echo "Installing system packages with apt-get:$$missing (\`make APT=no\` names them and installs nothing) ..."; \
	{ apt-get update && apt-get install -y $$missing; } >$(VENV)/apt.log 2>&1 || { \
		echo "Error: \`apt-get install$$missing\` failed; its output is in $(VENV)/apt.log" >&2; exit 1; }

# Drill is resolved by it, into .lacrosse/drill.
maven:
	@command -v mvn >/dev/null || { \
		echo "Error: Drill is resolved by Maven: \`apt-get install maven\`" >&2; exit 1; }

java: | python
	@"$(PYTHON)" lacrosse_assets/java.py
