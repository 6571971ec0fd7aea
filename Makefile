# make repro   set up, then run the study of params.yaml
# make test    set up, then lint, check the import contracts, build the documentation and run all tests
# make docs    serve the documentation at http://127.0.0.1:8000, rebuilt as it is edited
# make ui      serve MLflow's UI at http://127.0.0.1:5000
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
export NO_MKDOCS_2_WARNING := 1

.PHONY: repro test setup docs ui constraints test-exhaustive

repro: setup
	dvc repro

test: setup
	ruff check .
	ruff format --check .
	lint-imports
	mkdocs build --strict
	pytest

# Every point at which a process may be killed, and fifty times as many random cases: about an hour.
test-exhaustive: setup
	RESLAB_EXHAUSTIVE=1 RESLAB_FUZZ=50 pytest -m "exhaustive or fuzz"

setup: $(VENV)/.ready

# Done again only when the dependencies change.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

docs: setup
	mkdocs serve

# MLflow's UI in its light form: one worker, no job runner.
ui: setup
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --workers 1 --backend-store-uri sqlite:///mlflow.db

# Resolve all dependencies anew, in an environment of its own, and pin them; then look up the checksums of what is pinned.
constraints:
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/pip install '.[dev,docs]'
	build/constraints/bin/pip freeze --exclude reslab > constraints.txt
	$(MAKE) requirements.txt
	rm -rf build/constraints

requirements.txt: constraints.txt
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/pip install uv
	echo '# constraints.txt with the checksums of all files, for every system; made by `make constraints`.' > $@
	echo 'setuptools>=77' | build/constraints/bin/uv pip compile --universal --generate-hashes --no-annotate --no-header \
		--python-version 3.11.0 --constraint constraints.txt --extra dev --extra docs pyproject.toml - >> $@
