# Everything runs in .venv, which "setup" makes; "make help" lists what there is.
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-record test test-all lint bench accuracy docs clean

PYTHON := .venv/bin/python
#: More arguments for pytest: make test ARGS="-k inventory -x"
ARGS ?=
#: Most tests wait for packets and time-outs: two files at a time, each file in one process.
WORKERS ?= -n 2 --dist loadfile
PYTEST = $(PYTHON) -m coverage run -m pytest -W error $(WORKERS) $(ARGS)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is missing for everything below, and say what (apt packages only as root)
	@sh scripts/setup.sh test

demo: ## a lab with one broken VM, the suite, the diagnosis; needs no root
	@sh scripts/setup.sh demo
	@$(PYTHON) scripts/demo.py

demo-record: ## record the run that "make demo" replays where no lab can be
	@sh scripts/setup.sh demo
	@$(PYTHON) scripts/record_demo.py

test: setup ## the tests, warnings as errors; coverage in reports/coverage.txt (ARGS="..." for pytest)
	@sh scripts/coverage.sh $(PYTEST) -m "not slow"

test-all: ## the slow tests too
	@sh scripts/setup.sh test-all
	@sh scripts/coverage.sh $(PYTEST)

lint: ## ruff, mypy --strict, import-linter
	@sh scripts/setup.sh python
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports --no-cache

bench: setup ## speed against plain testinfra and bare ssh; needs root
	$(PYTHON) -m benchmarks $(ARGS)

accuracy: setup ## every fault of the lab: was the right cause named?
	$(PYTHON) -m netchecks.lab.accuracy $(ARGS)

docs: ## make the generated documents again
	@sh scripts/setup.sh python
	$(PYTHON) -m netchecks checks --markdown >docs/checks.md
	$(PYTHON) -m netchecks inventory schema >docs/inventory.schema.json
	$(PYTHON) -m tests.observations.test_docs

clean: ## remove .venv, caches and reports
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	rm -f .coverage .coverage.*
	find reports -mindepth 1 ! -name README.md ! -name allurerc.mjs -exec rm -rf {} +
	find . -name __pycache__ -prune -exec rm -rf {} +
