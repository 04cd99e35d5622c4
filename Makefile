# make bench   from nothing to a verdict: install, start, seed, 1,000 users
# make test    all tests that any machine can run; CI runs these and test-compose
PYTHON ?= python3
VENV   ?= .venv
USERS  ?= 1000

BIN   := $(VENV)/bin
PULSE := $(BIN)/pulse

.PHONY: bench test test-compose check unit processes components contract docs lock clean

bench: $(VENV)/installed
	$(PULSE) doctor --fix
	$(PULSE) up
	$(PULSE) health --wait 30
	$(PULSE) seed --users $(USERS)
	@echo "The stack stays up; stop it with: $(PULSE) down"
	$(PULSE) bench mixed --users $(USERS) --json report.json --html report.html

test: check unit processes

check: $(VENV)/installed
	$(BIN)/ruff check --quiet --no-cache
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: $(VENV)/installed
	$(BIN)/pytest -q tests/unit

processes: $(VENV)/installed components
	$(BIN)/pytest -q tests/connected tests/e2e

# Records anew what the services answer, which the fake of pulse_sdk.testing must say as well.
contract: $(VENV)/installed components
	RECORD_CONTRACT=1 $(BIN)/pytest -q tests/connected/test_contract.py

# The reference of pulse_sdk, out of its docstrings.
docs: $(VENV)/installed
	$(BIN)/python docs/reference.py build/docs

# The compose target on a Docker Engine: one that runs, or, as root on Debian, one of its own.
test-compose: $(VENV)/installed
	tests/compose/run.sh $(BIN)/python

# Tests choose free ports, so a configured port that is taken (exit code 7) does not matter here.
components: $(VENV)/installed
	$(PULSE) doctor --fix || test $$? -eq 7

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV) || (echo "Python's venv is missing; on Debian: apt-get install python3-venv" && exit 5)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all]'
	touch $@

# Pins what was resolved from the ranges in pyproject.toml.
lock:
	$(BIN)/pip freeze --exclude-editable --exclude pulse-platform > constraints.txt

clean:
	rm -rf $(VENV) dist build
