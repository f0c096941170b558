# Two commands set a machine up: `make serve` starts a control plane, `make test` runs everything that CI checks; `make demo` shows it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KUBECONFIG_FILE := $(CURDIR)/.verger/kubeconfig
NODE := $(VENV)/node
EXAMPLES := .verger/examples
ROOMS := $(wildcard watch store identity apiserver controllers embed demo cmd)
# Byte code that is not kept makes every start compile the whole project again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: serve demo test check unit examples clients-table bench soak format clean
.DEFAULT_GOAL := test

$(VENV)/.installed: pyproject.toml
	@echo "Setting up $(VENV) (once; a minute or so)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Verger needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -e '.[dev,clients]'
	@$(BIN)/python -m compileall -q $(ROOMS)
	@$(BIN)/python -c 'import verger.cmd.main, verger.cmd.serve, verger.embed.plane'  # compiles what a start needs of the libraries
	@touch $@

# The client for JavaScript, beside those for Python; Node.js and npm are the machine's.
$(NODE)/.installed: tests/clients/node/package-lock.json $(VENV)/.installed
	@{ command -v node && command -v npm; } >/dev/null || { echo "tests/clients needs Node.js 20 or newer: apt-get install nodejs npm" >&2; exit 1; }
	@mkdir -p $(NODE)
	@cp tests/clients/node/package.json tests/clients/node/package-lock.json $(NODE)
	@npm ci --prefix $(NODE) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

serve: $(VENV)/.installed
	@mkdir -p .verger && chmod 700 .verger
	@$(BIN)/verger serve --write-kubeconfig $(KUBECONFIG_FILE) --hints $(ARGS)

# What it needs besides is in .venv already.
demo: $(VENV)/.installed
	@$(BIN)/verger demo $(ARGS)

# Both at once: half of the tests' time is other programs' that they wait for.
test: $(VENV)/.installed $(NODE)/.installed
	@$(MAKE) --no-print-directory -j 2 check unit
	@$(MAKE) --no-print-directory examples

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=.types $(BIN)/lint-imports

unit: $(VENV)/.installed $(NODE)/.installed
	$(BIN)/python -m pytest -q -n 2 --ignore tests/clients $(ARGS)
	$(BIN)/python -m pytest -q -o filterwarnings=default tests/clients $(ARGS)

# The examples, as their readers would run them: the wheel in a virtual environment that knows nothing of this folder.
examples: $(VENV)/.installed
	@$(MAKE) --no-print-directory -j 2 $(patsubst examples/%/,$(EXAMPLES)/%.passed,$(wildcard examples/*/))

$(EXAMPLES)/%.passed: $(EXAMPLES)/.installed examples/%/*
	@cd examples/$* && $(CURDIR)/$(EXAMPLES)/venv/bin/python -m pytest -q -p no:cacheprovider $(ARGS)
	@touch $@

$(EXAMPLES)/.installed: $(EXAMPLES)/.libraries $(EXAMPLES)/.wheel
	@$(BIN)/pip --python $(EXAMPLES)/venv/bin/python uninstall --quiet --quiet --yes verger
	@$(BIN)/pip --python $(EXAMPLES)/venv/bin/python install --quiet --disable-pip-version-check --no-compile $(EXAMPLES)/dist/*.whl
	@touch $@

$(EXAMPLES)/.libraries: $(wildcard examples/*/requirements.txt)
	@echo "Setting up $(EXAMPLES)/venv (once; half a minute)"
	@rm -rf $(EXAMPLES)/venv
	@$(PYTHON) -m venv --without-pip $(EXAMPLES)/venv
	@sed '/^verger$$/d' $^ >$(EXAMPLES)/requirements.txt
	@$(BIN)/pip --python $(EXAMPLES)/venv/bin/python install --quiet --disable-pip-version-check --no-compile -r $(EXAMPLES)/requirements.txt
	@touch $@

# Built from a copy: a build leaves traces, and would put what has been deleted since into the next wheel.
$(EXAMPLES)/.wheel: pyproject.toml README.md LICENSE $(shell find $(ROOMS) -not -path '*/__pycache__*')
	@rm -rf $(EXAMPLES)/source $(EXAMPLES)/dist
	@mkdir -p $(EXAMPLES)/source
	@cp -r $(ROOMS) pyproject.toml README.md LICENSE $(EXAMPLES)/source
	@$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir $(EXAMPLES)/dist $(EXAMPLES)/source
	@touch $@

# Writes docs/clients.md from a run of the tests that drive clients.
clients-table: $(VENV)/.installed $(NODE)/.installed
	$(BIN)/python -m pytest -q -o filterwarnings=default -p tests.clients_table $$($(BIN)/python -m tests.clients_table) $(ARGS)

bench: $(VENV)/.installed
	$(BIN)/python -m bench $(ARGS)

soak: $(VENV)/.installed
	$(BIN)/python -m pytest -q -m soak $(ARGS)

format: $(VENV)/.installed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .verger build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
