# Every target sets itself up: a fresh clone needs Python 3.11 to 3.13 and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

RELEASE_VENV := .venv-release
RELEASE_INSTALLED := $(RELEASE_VENV)/.installed
ASYNC_VENV := .venv-ib-async
ASYNC_INSTALLED := $(ASYNC_VENV)/.installed

.PHONY: help install demo dev verify test coverage test-ib-async check snapshot docs torture mutants bench screenshots lock clean drills audit sbom release-check soak
.DEFAULT_GOAL := help

help:
	@echo "make demo     set up, replay ten sessions on a synthetic market, print the result"
	@echo "make dev      Dagster's UI on http://127.0.0.1:3000, with its daemon"
	@echo "make verify   every asset check of the environment that is set (SCIZOR_HOME, SCIZOR_CONFIG, DATABASE_URL): fails on each that does not hold"
	@echo "make test     the test suite, and that the order core's own tests run every branch of it"
	@echo "make coverage the order core's own tests alone, with each line and branch of it that they do not run"
	@echo "make test-ib-async   the tests of the IBKR adapter and of the TWS, with ib_async in an environment of its own"
	@echo "make check    ruff, mypy, import-linter, definitions load"
	@echo "make snapshot the graph of the shipped configuration, written down again after a change that is meant"
	@echo "make docs     the documentation as a site, in build/site: open index.html, without a server or a network"
	@echo "make torture  full counts: death at every line and point of an execution, processes on one account, death of the server and of hosts, random histories of an account, a thousand sessions under faults, every fault at every call, halts and failed commits anywhere, lists of orders against each limit, books for each law, order streams at the venue, lossy wires, two daemons, and mutants"
	@echo "make mutants  a seeded sample of small changes to the order core, of which nine in ten must be noticed by its own tests"
	@echo "make soak     thirty simulated trading days with the daemon: faults, a halt, bad files, and two restarts"
	@echo "make bench    speed and memory, as ratios against a reference of the same run"
	@echo "make bench SCALE=\"--sizes 1,3,10\"   the same, with ten times the system: 3,000 symbols x 20 years, 20 portfolios"
	@echo "make drills   every way back from a loss, on files and on Postgres, and what each step took"
	@echo "make screenshots   the pictures of the README, from the UI itself"
	@echo "make release-check   is this the tree to release: version, changelog, tag, graph, migrations, locks; known holes; the list of what is delivered"
	@echo "make lock     rewrite the lock files from pyproject.toml"
	@echo "make clean    remove the virtual environment (.scizor, with your data, stays)"

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed; {sys.executable} is {sys.version.split()[0]}. Set PYTHON=python3.12, for example.")'
	@echo "Installing into $(VENV): about a minute, once."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --require-hashes -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@echo "Compiling the loop of backtests: half a minute of processor time, once."
	@$(BIN)/python -m scizor_dagster.backtest.warm || echo "It could not be compiled now; the first backtest tries again."
	@touch $(INSTALLED)

demo: $(INSTALLED)
	@$(BIN)/scizor demo

dev: $(INSTALLED)
	@$(BIN)/scizor dev

# VERIFY="--portfolio main --strict"; `scizor verify --help` says what else there is. Words come as one variable of the
# environment and reach no shell but as words.
verify: $(INSTALLED)
	@set -f; $(BIN)/scizor verify $$VERIFY

# The core's own tests hold its coverage; the others are not slowed down by measuring it, nor are those of many trials,
# which reach what they reach by chance.
CORE_TESTS := tests/execution tests/ledger tests/planning tests/reconciliation tests/risk
MANY_TRIALS := tests/execution/test_state_machine.py tests/execution/test_events_in_any_order.py \
	tests/execution/test_halts.py tests/execution/test_clock_jumps.py tests/reconciliation/test_a_thousand_sessions.py
OTHER_TESTS := $(filter-out $(CORE_TESTS:%=%/) tests/__pycache__/,$(wildcard tests/*/)) $(MANY_TRIALS)
# A worker that dies ends the run: put in place again, it would wait for ever for tests that are counted as its own.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --max-worker-restart 0 --dist loadfile --no-loadscope-reorder
# What only a server needs is not run where there is none: the gate holds where all of the core's tests can run.
COVERED := $(BIN)/python -m tests.postgres && gate= || gate=--cov-fail-under=0; \
	$(PYTEST) $(CORE_TESTS) $(MANY_TRIALS:%=--ignore=%) --cov $$gate

test: $(INSTALLED)
	@$(COVERED); core=$$?; $(PYTEST) $(OTHER_TESTS) && exit $$core

coverage: $(INSTALLED)
	@$(COVERED)

# ib_async and ib_insync overwrite each other's event package: never both in one environment.
$(ASYNC_INSTALLED): requirements-ib-async.lock pyproject.toml
	@$(PYTHON) -m venv $(ASYNC_VENV)
	@$(ASYNC_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements-ib-async.lock
	@$(ASYNC_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	@touch $(ASYNC_INSTALLED)

test-ib-async: $(ASYNC_INSTALLED)
	@$(ASYNC_VENV)/bin/python -m pytest --numprocesses 2 tests/brokers/ibkr tests/paper_exchange/tws_door tests/market_data/test_ibkr.py

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.definitions_load

# A graph that has drifted fails a test, which shows the difference; this says that it is meant.
snapshot: $(INSTALLED)
	@mkdir -p build
	@$(BIN)/python -m tests.shipped.graph > build/graph.txt && mv build/graph.txt tests/shipped/graph.txt

docs: $(INSTALLED)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --clean
	@echo "Open build/site/index.html"

# Whatever takes a sample in `make test` takes the whole here.
TORTURE := $(shell grep -rl --include='test_*.py' SCIZOR_TORTURE tests) tests/acceptance/test_rebalance_under_kills.py

torture: $(INSTALLED)
	@SCIZOR_TORTURE=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal --timeout 14400 $(TORTURE)
	@$(MAKE) --no-print-directory mutants

# MUTANTS="--sample 0" tries every one; `python -m tests.mutants --help` says what else there is.
mutants: $(INSTALLED)
	@$(BIN)/python -m tests.mutants $(MUTANTS)

# SOAK="--days 10 --seed 3" is another one.
soak: $(INSTALLED)
	@$(BIN)/python -m tests.soak.days $(SOAK)

bench: $(INSTALLED)
	@for name in planning backtest sweep lake ledger history rebalance brokers protocol collect api; do echo "== $$name"; $(BIN)/python -m tests.benchmarks.bench_$$name || exit 1; done
	@echo "== scale"; $(BIN)/python -m tests.benchmarks.bench_scale $(SCALE)

drills: $(INSTALLED)
	@$(BIN)/python -m tests.drills

# The tools of a release: in an environment of their own, so that nothing of theirs is delivered.
$(RELEASE_INSTALLED): requirements-release.lock
	@$(PYTHON) -m venv $(RELEASE_VENV)
	@$(RELEASE_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements-release.lock
	@touch $(RELEASE_INSTALLED)

# Asks PyPI for the known holes of what the lock names; installs and resolves nothing.
audit: $(RELEASE_INSTALLED)
	@$(RELEASE_VENV)/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip --progress-spinner off

# Hashes are those of the lock, licences those that the installed packages state.
sbom: $(INSTALLED) $(RELEASE_INSTALLED)
	@mkdir -p build
	@$(RELEASE_VENV)/bin/cyclonedx-py requirements requirements.lock --output-reproducible --output-format JSON --output-file build/lock.cdx.json
	@$(RELEASE_VENV)/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --mc-type application --output-reproducible --output-format JSON --output-file build/environment.cdx.json
	@$(BIN)/python -m tests.release sbom build/lock.cdx.json build/environment.cdx.json build/scizor.cdx.json

release-check: $(INSTALLED)
	@$(BIN)/python -m tests.release check
	@$(MAKE) --no-print-directory audit sbom

lock:
	@$(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/pip install --quiet uv
	@.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
		--no-emit-index-url --custom-compile-command "make lock" --extra dev pyproject.toml -o requirements.lock
	@sed -n 's/^\([a-z][^\\]*==[^\\]*\).*/\1/p' requirements.lock | grep -v '^\(tzdata\|ib-insync\|eventkit\)=' > .venv-lock/constraints.txt
	@echo 'ib_async==2.1.0' > .venv-lock/ib-async.in
	@.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
		--no-emit-index-url --custom-compile-command "make lock" --constraint .venv-lock/constraints.txt \
		--no-emit-package ib-insync --no-emit-package eventkit --extra dev pyproject.toml .venv-lock/ib-async.in \
		-o requirements-ib-async.lock
	@$(PYTHON) deploy/runtime_lock.py | sed -n 's/^\([A-Za-z0-9][A-Za-z0-9._-]*\).*/--no-emit-package \1/p' | sort -u > .venv-lock/there.txt
	@echo 'dagster-k8s>=0.29,<0.30' > .venv-lock/kubernetes.in
	@sed -n 's/^\([a-z][^\\]*==[^\\]*\).*/\1/p' requirements.lock > .venv-lock/constraints.txt
	@.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
		--no-emit-index-url --custom-compile-command "make lock" --constraint .venv-lock/constraints.txt \
		$$(cat .venv-lock/there.txt) .venv-lock/kubernetes.in -o deploy/helm/requirements.lock
	@printf 'pip-audit==2.10.1\ncyclonedx-bom==7.5.0\n' > .venv-lock/release.in
	@.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" .venv-lock/release.in -o requirements-release.lock
	@rm -rf .venv-lock

clean:
	rm -rf $(VENV) $(ASYNC_VENV) $(RELEASE_VENV) .mypy_cache .ruff_cache .hypothesis .coverage build *.egg-info

screenshots: $(INSTALLED)
	@SCIZOR_SCREENSHOTS=docs/images $(BIN)/python -m pytest -q tests/acceptance/test_ui.py
