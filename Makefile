# What one does with a checkout. Everything is installed into .venv and nowhere else, but for rabbitmq-server
# and the system's mercurial, which the tests and the benchmarks need and which come from its packages.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test bench fuzz soak test-rabbitmq test-pythons pytest test-buildbot mypy ruff imports reference format \
	rabbitmq mercurial clean

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

demo: $(VENV)/.demo ## real pushes through the git hook to a consumer: what pulseshim does, in seconds
	@$(BIN)/pulseshim demo

# Each check is made though one before it failed, so that one run shows all there is to correct.
test: $(VENV)/.test rabbitmq mercurial ## everything that CI runs: ruff, mypy, import rules, pytest
	@failed=; for check in ruff mypy imports pytest; do \
		$(MAKE) --no-print-directory $$check || failed="$$failed $$check"; \
	done; if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

bench: $(VENV)/.test rabbitmq mercurial ## measure against the peers, side by side; ARGS="relay --write" picks and keeps
	$(BIN)/python -m benchmarks $(ARGS)

# SUITE names another Debian, whose RabbitMQ is then made by contrib/dev/rabbitmq-node and used for the node.
node = $(if $(SUITE),PULSESHIM_TEST_RABBITMQ_SERVER="$$(contrib/dev/rabbitmq-node $(SUITE))")

soak: $(VENV)/.test rabbitmq ## break everything for some minutes, then fuzz; ARGS="--seed 7 --events 5000", SUITE=trixie
	$(node) $(BIN)/python -m tests.faults $(ARGS)
	@$(MAKE) --no-print-directory fuzz

test-rabbitmq: $(VENV)/.test ## what meets a broker, against RabbitMQ 4.x: SUITE=trixie (default) or forky
	PULSESHIM_TEST_RABBITMQ_SERVER="$$(contrib/dev/rabbitmq-node $(or $(SUITE),trixie))" \
		$(BIN)/pytest tests/integration tests/faults $(ARGS)

test-pythons: rabbitmq mercurial ## the tests on each Python from 3.11 to 3.14 that this machine has
	@$(PYTHON) contrib/dev/pythons.py $(side_by_side) $(ARGS)

# The other properties are tried with examples that no run had before, too; as many of them as in any run.
fuzz: $(VENV)/.test ## nonsense for every parser: EXAMPLES=2000 of it for each
	PULSESHIM_FUZZ=$(or $(EXAMPLES),2000) $(BIN)/pytest tests/plugins/test_fuzz*.py
	PULSESHIM_FUZZ=50 $(BIN)/pytest $$(grep -lr "^from hypothesis" --include="test_*.py" tests | grep -v test_fuzz)

# Most tests wait for git, a broker or another process, so there may be more than cores. The order of the files
# has the long ones first: else one worker is left with them while the others have nothing to do.
side_by_side := --numprocesses 4 --dist loadfile --no-loadscope-reorder

pytest: $(VENV)/.test ## the tests alone; ARGS="tests/unit -k spool" picks some
	$(BIN)/pytest $(side_by_side) $(ARGS)

# The tests have a Buildbot of today. This takes another one, VERSION, from an environment of its own.
VERSION ?= 3.11.9
OLD := $(VENV)/buildbot-$(VERSION)

test-buildbot: $(VENV)/.test rabbitmq $(OLD)/.made ## the tests of the Buildbot source with Buildbot VERSION
	BUILDBOT_PROGRAMS=$(OLD)/bin $(BIN)/pytest tests/plugins/buildbot tests/acceptance/test_buildbot.py $(ARGS)

$(OLD)/.made:
	@echo "installing Buildbot $(VERSION) into $(OLD)"
	@$(PYTHON) -m venv $(OLD)
	@$(OLD)/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable . 'buildbot[bundle]==$(VERSION)' 'buildbot-worker==$(VERSION)'
	@touch $@

mypy: $(VENV)/.test ## the types
	$(BIN)/mypy

ruff: $(VENV)/.test ## the style
	$(BIN)/ruff check
	$(BIN)/ruff format --check

imports: $(VENV)/.test ## the rules between the folders and modules
	$(BIN)/lint-imports

reference: $(VENV)/.test ## write the parts of docs/reference that stand in the code
	$(BIN)/python contrib/dev/reference.py

format: $(VENV)/.test ## correct the style where that can be done by a program
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

rabbitmq:
	@contrib/dev/rabbitmq

mercurial:
	@contrib/dev/mercurial

clean: ## remove the environment and all that was cached
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist

# One stamp a set of packages: what it stands for is installed again when pyproject.toml has changed.
$(VENV)/.pip: contrib/dev/environment.py
	@echo "making $(VENV)"
	@$(PYTHON) contrib/dev/environment.py $(VENV)
	@touch $@

$(VENV)/.demo: pyproject.toml $(VENV)/.pip
	@echo "installing pulseshim[git]"
	@$(INSTALL) --editable '.[git]'
	@touch $@

# --group came with pip 25.1; Debian's ensurepip brings 23.0.
$(VENV)/.test: pyproject.toml $(VENV)/.pip
	@echo "installing pulseshim[all] and what the tests need"
	@$(INSTALL) 'pip>=25.1'
	@$(INSTALL) --editable '.[all]' --group test
	@touch $@
