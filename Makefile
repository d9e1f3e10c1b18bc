# Needs make and Python 3.11 or newer with venv; the rest is installed into .venv by whichever target comes first.
# Another interpreter: make PYTHON=python3.12 test
PYTHON ?= python3
UV_VERSION ?= 0.13.9
LOCK_OPTIONS ?= --upgrade

ready := .venv/.ready
run_in_venv := PATH="$(CURDIR)/.venv/bin:$$PATH"
lanes := tests/browser tests/machines tests/prefect tests/site
browsers := chromium chromium-browser google-chrome google-chrome-stable

unexport PYTHONDONTWRITEBYTECODE  # the tests start many processes, and each would compile the same modules again

.DEFAULT_GOAL := help
.PHONY: help run test lanes slow prove mutants up bench check docs format lock wheel browser services faketime clean

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z.]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(ready) ## Deliver samples/posts.csv to a local stand-in API and show the result
	@$(run_in_venv) rowrelay standin -- rowrelay send samples/posts.csv --pipeline posts

up: $(ready) ## Start everything, dashboard included, until Ctrl-C; sends to the stand-in unless POSTS_URL is set
	@$(run_in_venv) $(if $(POSTS_URL),,rowrelay standin --) rowrelay up

test: $(ready) services ## Run the tests that need no Prefect server, browser or machine of their own
	@$(run_in_venv) python -m pytest -n 8 --dist worksteal $(lanes:%=--ignore=%)

lanes: $(ready) browser services ## Run those that do, but for the slow ones
	@$(run_in_venv) python -m pytest -n 4 --dist loadgroup --no-loadscope-reorder $(lanes)

slow: $(ready) browser services ## Run the tests that play whole machines, and those that draw examples, with all of them
	@$(run_in_venv) python -m pytest -n 4 --dist loadgroup --no-loadscope-reorder --hypothesis-profile deep -m '(slow or hypothesis) and not prove'

prove: $(ready) services faketime ## Run the long proofs: limit, kills, restarts; needs libfaketime, and root for cut links
	@$(run_in_venv) python -m pytest -m prove -n 8 tests/limit/test_limit_harm.py
	@$(run_in_venv) python -m pytest -m prove --ignore tests/limit/test_limit_harm.py --ignore tests/faults/test_faults.py
	@ROWRELAY_SEPARATE_STACK=1 $(run_in_venv) python -m tests.faults --trials 200 $(FAULTS)

mutants: $(ready) ## Put some 300 faults into the code, one by one, and see whether the tests notice
	@$(run_in_venv) python -m tests.mutants

bench: $(ready) browser services ## Measure speed and memory, one thing after the other: takes the better part of an hour
	@failed=; for name in $(notdir $(basename $(wildcard bench/[a-z]*.py))); do \
		echo "== bench/$$name.py"; \
		ROWRELAY_SEPARATE_STACK=1 $(run_in_venv) python -m bench.$$name || failed="$$failed bench.$$name"; \
	done; \
	if [ -n "$$failed" ]; then echo "Failed:$$failed"; exit 1; fi

check: $(ready) docs ## Lint, format, types, the site's links and known vulnerabilities, changing nothing but site/
	@$(run_in_venv) ruff check .
	@$(run_in_venv) ruff format --check .
	@$(run_in_venv) mypy
	@$(if $(CI),echo "Known vulnerabilities: not looked up while CI is set.",$(run_in_venv) python .ci/audit.py)

docs: $(ready) ## Build the documentation into site/; a link that leads nowhere is an error
	@$(run_in_venv) zensical build --strict
	@echo "Open site/index.html."

format: $(ready) ## Format the code and mend what the linter can mend
	@$(run_in_venv) ruff check --fix .
	@$(run_in_venv) ruff format .

# openapi-python-client asks for an older typer than ours, whose messages are part of what our users see. What it does
# works with ours, as the tests show.
lock: $(ready) ## Resolve the dependencies of pyproject.toml anew into requirements.lock
	@echo "typer>=0.15" | $(run_in_venv) uv pip compile pyproject.toml --quiet --all-extras --universal \
		--python-version 3.11 --override - --generate-hashes --no-emit-index-url --no-header $(LOCK_OPTIONS) --output-file requirements.lock

wheel: $(ready) ## Build the wheel into dist/: what `pip install` needs on a machine without this checkout
	@rm -rf build dist
	@$(run_in_venv) uv build --quiet --offline --wheel --no-build-isolation --out-dir dist .
	@rm -rf build
	@ls dist/*.whl

clean: ## Remove the virtual environment, caches and builds; data folders stay
	@rm -rf .venv build dist site .cache *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(ready): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) is: $$($(PYTHON) --version 2>&1)."; \
		echo "Install it, or name one that you have: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) comes without venv. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@rm -f $@
	@.venv/bin/python -c '' 2>/dev/null || { echo "Creating .venv …"; $(PYTHON) -m venv --clear .venv; }
	@echo "Installing what requirements.lock names into .venv …"
	@.venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@export VIRTUAL_ENV="$(CURDIR)/.venv"; \
	{ .venv/bin/uv pip install --quiet --compile-bytecode --no-deps --require-hashes --requirements requirements.lock && \
	  .venv/bin/uv pip install --quiet --no-deps --editable . ; } || { \
	  echo "uv could not; trying pip, which may know another package index (this takes a minute) …"; \
	  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements.lock && \
	  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . ; }
	@touch $@

services: ## Find what the tests of docker-compose.yml run natively; as root, install it on Debian
	@missing="$$( \
		command -v docker-compose >/dev/null || echo docker-compose; \
		command -v redis-server >/dev/null || echo redis-server; \
		ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql; \
		command -v ip >/dev/null || echo iproute2; command -v setpriv >/dev/null || echo util-linux; \
		command -v ps >/dev/null || echo procps)"; \
	missing=$$(echo $$missing); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "The tests of docker-compose.yml are skipped: they need root on Debian or Ubuntu, and $$missing."; exit 0; \
	fi; \
	echo "Installing $$missing for the tests of docker-compose.yml …"; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get -qq update && apt-get -qq install -y --no-install-recommends $$missing >/dev/null && exit 0; \
	echo "They could not be installed, and the tests of docker-compose.yml need them: $$missing"; exit 1

browser: ## Find the browser that the dashboard's tests drive; as root, install it on Debian
	@for name in $(browsers); do if command -v $$name >/dev/null; then exit 0; fi; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing chromium for the dashboard's tests …"; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium >/dev/null && exit 0; \
	fi; \
	echo "The dashboard's tests need a browser: install chromium (Debian: apt-get install chromium) or Google Chrome."; exit 1

faketime: ## Find libfaketime, which sets the clock of the proofs' Redis; as root, install it on Debian
	@ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing libfaketime for the proofs …"; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get -qq update && apt-get -qq install -y --no-install-recommends faketime >/dev/null && exit 0; \
	fi; \
	echo "The proofs set the clock of a Redis: install libfaketime (Debian: apt-get install faketime)."; exit 1
