# `make run` opens the app, `make test` passes the tests; each sets up what is missing.
PYTHON      ?= python3
VENV        ?= .venv
SCENARIO    ?= scenarios/diverse_heads.toml
# The CPU build of torch on Linux: make run TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

BIN := $(VENV)/bin
LOW := $(VENV)-lowest/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
       $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: run test test-all test-lowest lint format bench clean help
help:
	@echo "make run [SCENARIO=…]   open the app, training what the scenario lists"
	@echo "make test               pass the tests   (make test-all: the slow ones too)"
	@echo "make test-lowest        pass the tests with the lowest versions that pyproject.toml allows"
	@echo "make lint               ruff, format check, types"
	@echo "make bench              the benchmarks, side by side"

run: $(VENV)/.run
	@$(BIN)/synergy-tui $(SCENARIO)

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-all: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal

# pip takes the newest versions that fit; uv can be asked for the lowest.
test-lowest: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)-lowest
	$(LOW)/python -m pip install --quiet --disable-pip-version-check uv
	$(LOW)/uv pip install --quiet --python $(LOW)/python --resolution lowest-direct -e ".[test]" \
	  $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX) --index-strategy unsafe-best-match)
	$(LOW)/python -m pytest -n 2 --dist worksteal -m "not slow"

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test
	$(BIN)/python -m pytest tests/benchmarks -p no:xdist -p no:cacheprovider -o addopts="" -s

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Synergy needs Python 3.11 or newer; $(PYTHON) is older. Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python pyproject.toml constraints.txt
	@echo "Setting up Synergy in $(VENV) (torch is the large part; a few minutes the first time) …" >&2
	@$(PIP) -e .
	@echo "Compiling kernels (once) …" >&2
	@$(BIN)/python -c 'import synergy_engine, synergy_trainer; synergy_engine.warm_up(); synergy_trainer.warm_up()'
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@$(PIP) -e ".[test]"
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	@$(PIP) -e ".[lint]"
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-lowest build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
