# Six short targets. `make run` and `make test` are all a newcomer needs.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: run test lint bench docs clean

run: $(VENV)/.installed
	$(BIN)/engine serve

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest tests

lint: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/pytest bench

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

# Editable, so that a change in engine/ is live; the extension is rebuilt when its sources change.
$(VENV)/.installed: $(VENV)/bin/python pyproject.toml setup.py $(wildcard engine/_codec.*)
	$(BIN)/pip install --quiet -e '.[offline]'
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --group dev -e '.[offline,webrtc]'
	touch $@

clean:
	rm -rf build dist *.egg-info engine/*.so $(VENV)
