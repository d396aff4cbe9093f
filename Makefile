# Every target sets itself up: all it takes is Python 3.10 or later, pip and make. `make help` lists the targets.

PYTHON ?= python3
VENV ?= .venv
NETWORK ?= resnet18
PYTEST_ARGS ?= -n 2 --dist loadgroup
# two processes of tests, a thread each
export OMP_NUM_THREADS ?= 1

PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.DEFAULT_GOAL := help
.PHONY: help run test lint types format golden docs bench clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 14

run: $(VENV)/run.stamp ## analyse a network of the zoo and generate its source: NETWORK=resnet18 (installs no torch)
	$(VENV)/bin/archspec analyze $(NETWORK)
	$(VENV)/bin/archspec generate $(NETWORK)

test: $(VENV)/dev.stamp ## run all tests
	$(PY) -m pytest $(PYTEST_ARGS)

lint: $(VENV)/dev.stamp ## check style
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(VENV)/dev.stamp ## check types
	$(PY) -m mypy

format: $(VENV)/dev.stamp ## mend style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

golden: $(VENV)/dev.stamp ## write the golden files anew; read the diff before you commit it
	$(PY) -m pytest tests/test_golden.py tests/test_cli.py tests/test_source.py tests/test_plan.py tests/test_docs.py --update-golden

docs: $(VENV)/run.stamp ## write docs/ops.md and archspec/schema.json anew
	$(VENV)/bin/archspec schema -o archspec/schema.json --force
	$(VENV)/bin/archspec ops --format markdown -o docs/ops.md --force

bench: $(VENV)/dev.stamp ## measure speed
	$(PY) benchmarks/analyze.py

clean: ## remove environments and caches
	rm -rf $(VENV) .venv-run build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Debian's Python has no ensurepip without a further package: pip itself then fills the environment.
$(PY):
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or later is needed: make PYTHON=..." if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv $(VENV) || \
	{ $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(PY) install --quiet pip; }

$(VENV)/run.stamp: $(PY) pyproject.toml constraints.txt
	$(INSTALL) .
	@touch $@

$(VENV)/dev.stamp: $(PY) pyproject.toml constraints.txt
	$(INSTALL) '.[torch,onnx,test,lint]'
	@touch $(VENV)/run.stamp $@
