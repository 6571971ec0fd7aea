# make repro   set up, then run the study of params.yaml
# make test    set up, then lint, check the import contracts and run all tests
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)

.PHONY: repro test setup ui constraints

repro: setup
	dvc repro

test: setup
	ruff check .
	ruff format --check .
	lint-imports
	pytest

setup: $(VENV)/.ready

# Done again only when the dependencies change.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --constraint constraints.txt --editable '.[dev]'
	touch $@

# MLflow's UI in its light form: one worker, no job runner.
ui: setup
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --workers 1 --backend-store-uri sqlite:///mlflow.db

# Resolve all dependencies anew, in an environment of its own, and pin them.
constraints:
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/pip install '.[dev]'
	build/constraints/bin/pip freeze --exclude reslab > constraints.txt
	rm -rf build/constraints
