# What can be done here: `make help`.

BIN := .venv/bin
# Stamps of what .venv holds; the development lock holds all that the runtime lock does.
DEV := .venv/.installed-dev
RUNTIME := .venv/.installed
WORKERS ?= 2
ARGS ?=
MINUTES ?= 30
KAFKA_PORT ?= 9092
SERIAL := $(if $(filter output-sync,$(.FEATURES)),-Otarget)
LOCK := uv pip compile --universal --generate-hashes --no-header --no-emit-index-url --no-annotate --python-version 3.11 pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-kafka kafka check lint format types imports test test-fast schemas lock bench soak clean system-packages

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

setup: $(DEV) ## make .venv with everything pinned

$(DEV): requirements-dev.lock pyproject.toml tools/install.sh
	@PYTHON="$(PYTHON)" tools/install.sh requirements-dev.lock
	@touch $(RUNTIME) $@

$(RUNTIME): requirements.lock pyproject.toml tools/install.sh
	@PYTHON="$(PYTHON)" tools/install.sh requirements.lock
	@touch $@

demo: $(RUNTIME) ## the main job on one machine: Python is all it needs
	@$(BIN)/vbpr demo $(ARGS)

demo-kafka: $(RUNTIME) system-packages ## the same on Apache Kafka and PostgreSQL, with two notifiers
	@$(BIN)/python -m tools.demo_kafka $(ARGS)

kafka: $(RUNTIME) ## run one Apache Kafka broker on loopback (KAFKA_PORT=9092)
	@exec $(BIN)/python -m tools.kafka run --port $(KAFKA_PORT)

check: $(DEV) ## lint, format, types and architecture
	@$(MAKE) --no-print-directory -j4 -k $(SERIAL) lint format types imports

lint: $(DEV)
	@$(BIN)/ruff check .

format: $(DEV)
	@$(BIN)/ruff format --check .

types: $(DEV)
	@$(BIN)/mypy

imports: $(DEV)
	@$(BIN)/lint-imports --no-logo

test: $(DEV) system-packages ## everything, with the servers it needs (ARGS="-k name")
	@$(BIN)/python -m tools.kafka fetch >/dev/null
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

test-fast: $(DEV) ## what needs only Python
	@$(BIN)/python -m pytest -n $(WORKERS) -m "not postgresql and not kafka and not slow" $(ARGS)

system-packages:
	@tools/system_packages.sh

schemas: $(DEV) ## generate what is generated: the structure gate's schema, the page of settings
	@$(BIN)/python -m schemas.structure.generate
	@$(BIN)/python -m tools.settings_table

lock: ## pin the newest dependencies that pyproject.toml allows (needs uv)
	@command -v uv >/dev/null || { echo "uv is missing: install it to make lock files" >&2; exit 1; }
	@$(LOCK) --upgrade --quiet --extra uvloop --group build -o requirements.lock
	@$(LOCK) --upgrade --quiet --extra uvloop --group dev -o requirements-dev.lock

bench: $(DEV) ## measure (ARGS=--quick); docs/performance.md says how to read it
	@for name in statement check accept deliver latency; do $(BIN)/python -m benchmarks.$$name $(ARGS) || exit 1; done

soak: $(DEV) system-packages ## every fault at random under traffic (MINUTES=30, ARGS="--seed N")
	@$(BIN)/python -m tools.kafka fetch >/dev/null
	@$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) $(ARGS)

clean: ## remove caches; .venv and var/ stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
