# Two commands set a machine up: `make serve` starts a control plane, `make test` runs everything that CI checks.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KUBECONFIG_FILE := $(CURDIR)/.verger/kubeconfig
NODE := $(VENV)/node
# Byte code that is not kept makes every start compile the whole project again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: serve test check unit bench soak format clean
.DEFAULT_GOAL := test

$(VENV)/.installed: pyproject.toml
	@echo "Setting up $(VENV) (once; a minute or so)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Verger needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -e '.[dev,clients]'
	@$(BIN)/python -m compileall -q watch store identity apiserver controllers embed cmd
	@$(BIN)/python -c 'import verger.cmd.main, verger.embed.plane'  # compiles what a start needs of the libraries
	@touch $@

# The client for JavaScript, beside those for Python; Node.js and npm are the machine's.
$(NODE)/.installed: tests/clients/node/package-lock.json $(VENV)/.installed
	@command -v node npm >/dev/null || { echo "tests/clients needs Node.js 20 or newer: apt-get install nodejs npm" >&2; exit 1; }
	@mkdir -p $(NODE)
	@cp tests/clients/node/package.json tests/clients/node/package-lock.json $(NODE)
	@npm ci --prefix $(NODE) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

serve: $(VENV)/.installed
	@mkdir -p .verger && chmod 700 .verger
	@$(BIN)/verger serve --write-kubeconfig $(KUBECONFIG_FILE) --hints $(ARGS)

test: check unit

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=.types $(BIN)/lint-imports

unit: $(VENV)/.installed $(NODE)/.installed
	$(BIN)/python -m pytest -q -n 2 --ignore tests/clients $(ARGS)
	$(BIN)/python -m pytest -q -o filterwarnings=default tests/clients $(ARGS)

bench: $(VENV)/.installed
	$(BIN)/python -m bench $(ARGS)

soak: $(VENV)/.installed
	$(BIN)/python -m pytest -q -m soak $(ARGS)

format: $(VENV)/.installed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .verger build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
