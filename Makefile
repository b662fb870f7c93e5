# `make run` and `make test` are all a newcomer needs.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SOURCES := pyproject.toml setup.py $(wildcard engine/_*.pyx engine/_*.h engine/adapters/_*.pyx engine/adapters/_*.h)

.PHONY: run test audit test-vendors test-pythons lint simulate mutants bench docs clean

run: $(VENV)/.installed
	$(BIN)/engine serve

test: $(VENV)/.dev
	deploy/browser
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/engine simulate --seeds 2000
	$(BIN)/pytest tests

# The vendors' own clients against the simulated providers. Heavy, so not a part of `test`. Says so where they cannot be had.
test-vendors: $(VENV)/.dev
	VENV=$(VENV) .ci/vendors

# The same digests on every Python: the rules, the journal, the runtime, the audio core on those that are installed, or named in
# PYTHONS="python3.12 /opt/python/bin/python3".
test-pythons:
	.ci/pythons $(PYTHONS)

# Dependencies with known vulnerabilities. Needs PyPI; says so where it cannot be reached.
audit: $(VENV)/.dev
	VENV=$(VENV) .ci/audit

lint: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

simulate: $(VENV)/.dev
	$(BIN)/engine simulate --seeds 100000

# Does the net catch fish? Every change mutmut makes to engine/core, and whether a test notices. Some of it: make mutants ONLY='speech turn._taken'
mutants: $(VENV)/.dev
	$(BIN)/pip install --quiet --group mutation
	$(BIN)/python -m bench.mutants $(ONLY)

bench: $(VENV)/.dev
	$(BIN)/pytest bench
	$(BIN)/python -m bench.adapter_cost

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Editable, so that a change in engine/ is live; the extension is rebuilt when its sources change.
$(VENV)/.installed: $(VENV)/bin/python $(SOURCES)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[offline]'
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --group dev -e '.[offline,webrtc,microphone]'
	touch $@

# The reference of all settings, from the source.
docs: $(VENV)/.dev
	$(BIN)/engine config --reference > docs/settings.md

clean:
	rm -rf build dist *.egg-info engine/*.so $(VENV) .venv-pythons
