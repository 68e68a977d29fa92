# POLIQI: every target does its own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
STAMPS ?= .stamps
INSTALL := $(BIN)/python -m uv pip install --quiet --python $(BIN)/python

.PHONY: setup demo test check bench docs lock soak soak-kill clean

setup: $(STAMPS)/base

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "POLIQI needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "this Python cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "setting up $(VENV) (once) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/base: $(STAMPS)/venv pyproject.toml requirements.lock
	@$(INSTALL) -r pyproject.toml -c requirements.lock
	@$(INSTALL) --no-deps -e .
	@touch $@

$(STAMPS)/all: $(STAMPS)/base
	@$(INSTALL) -r pyproject.toml --all-extras -c requirements.lock
	@touch $@

demo: $(STAMPS)/base
	@$(BIN)/poliqi demo $(ARGS)

# a machine that keeps no compiled Python would compile it anew in each of the hundreds of processes that tests start
test: export PYTHONDONTWRITEBYTECODE :=
# threads of OpenBLAS wait by spinning: beside other tests they only take the cores from them
test: export OPENBLAS_NUM_THREADS := 1
test: export OMP_NUM_THREADS := 1
test: $(STAMPS)/all
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS) || \
	  { echo "what failed beside others, once more alone:"; \
	    $(BIN)/python -m pytest --last-failed --last-failed-no-failures none $(ARGS); }

soak: $(STAMPS)/all
	@$(BIN)/python -m pytest -m soak --timeout 0 $(ARGS)

# kill -9 and power cuts under load; POLIQI_SOAK_KILLS (1000) and POLIQI_SOAK_SEED say how many and which
soak-kill: $(STAMPS)/all
	@$(BIN)/python -m pytest -m soak --timeout 0 -s tests/fault/test_site_kill.py $(ARGS)

check: $(STAMPS)/all
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports
	@$(BIN)/deptry src

bench: $(STAMPS)/all
	@for name in $$($(BIN)/python -m bench | cut -d' ' -f1); do $(BIN)/python -m bench $$name $(ARGS) || exit 1; done

docs: $(STAMPS)/all
	@$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html
	@if command -v chromium >/dev/null; then $(BIN)/python docs/screenshots.py --to docs/_build/screenshots; \
	  else echo "no Chromium: no pictures of the dashboard"; fi

lock: $(STAMPS)/venv
	@$(BIN)/python -m uv pip compile --quiet pyproject.toml --all-extras --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --upgrade -o requirements.lock

clean:
	rm -rf $(VENV) $(STAMPS) docs/_build
