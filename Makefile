# One command each for running, testing and looking after the platform. Needs Python 3.12, make and git.

MAKEFLAGS += --no-print-directory
export UV_PYTHON_DOWNLOADS := never

BIN := .venv/bin
READY := .venv/ready
# Seldon's wrapper cannot share an environment with the rest.
ROUTER := apps/bandit-router
ROUTER_READY := $(ROUTER)/.venv/ready
APPS := $(patsubst %/pyproject.toml,%,$(wildcard apps/*/pyproject.toml))
TOGETHER := $(filter-out $(ROUTER),$(APPS))
SOURCES := $(addsuffix /src,$(APPS))
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.12 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header --quiet
SPACE := $(subst ,, )
MYPYPATH := $(subst $(SPACE),:,$(SOURCES) docs)
WHEELS ?= dist
ARGS ?=
APP ?=
# Coverage of a part of the tests says nothing: it is measured where all of them run, and in the workflows.
MEASURED := $(if $(and $(ARGS),$(if $(CI),,1)),,rm -rf .local/coverage; COVERAGE_CORE=sysmon COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml)
PYTEST := $(BIN)/pytest -n auto --durations=20

.DEFAULT_GOAL := help
.PHONY: help run pipeline test test-fast lint types scan audit check verify simulate simulate-coverage bench manifests dashboards schema wheels lock image-locks setup \
	clean FORCE

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY) ## Run the platform here: Valkey and Postgres, the service, an experiment (options: ARGS="--help")
	@$(BIN)/bandit-local run $(ARGS)

pipeline: $(READY) ## Run the pipeline here: Dagster's UI on 127.0.0.1:3000, on the same servers (options: ARGS="--help")
	@$(BIN)/bandit-local pipeline $(ARGS)

test: $(READY) $(ROUTER_READY) ## Run the tests of every app against real servers (ARGS go to pytest: paths, -k, --pdb, -n 0)
	@$(MEASURED) $(PYTEST) -m "not verify" $(ARGS)

# Under two minutes on two cores. The tests of one app leave out those that need a server, which are the long ones.
test-fast: $(READY) ## Lint, and the tests of what changed since the last commit (or APP=bandit-core: of that app, without servers)
	@$(MAKE) lint
	@.ci/test-fast $(APP)

lint: $(READY) ## Check style, format, and which layer imports which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PYTHONPATH=$(ROUTER)/src:docs $(BIN)/lint-imports --no-logo

# Tests are checked app by app: each has a conftest.py of its own, and mypy wants one module of a name.
# What a test waits for changes behind the type checker's back: it would call the lines after it unreachable.
types: $(READY) ## Check types strictly
	@MYPYPATH=$(MYPYPATH) $(BIN)/mypy $(SOURCES)
	@$(foreach app,$(APPS),MYPYPATH=$(MYPYPATH):$(app)/tests $(BIN)/mypy --no-warn-unreachable $(app)/tests &&) true
	@MYPYPATH=$(MYPYPATH):grafana:grafana/tests $(BIN)/mypy --no-warn-unreachable grafana
	@MYPYPATH=$(MYPYPATH) $(BIN)/mypy --no-warn-unreachable docs/studies
	@MYPYPATH=$(MYPYPATH):k8s/tests $(BIN)/mypy --no-warn-unreachable k8s

# Low severity is left to ruff, which has the same rules and says where one is broken on purpose.
scan: $(READY) ## Look for weaknesses in the code
	@$(BIN)/bandit --quiet --recursive --severity-level medium --confidence-level medium $(SOURCES) grafana/dashboards

audit: $(READY) ## Look for known faults of the dependencies that are locked (asks PyPI)
	@$(foreach lock,$(wildcard requirements/*.txt),$(BIN)/pip-audit --progress-spinner off --disable-pip --require-hashes \
		--requirement $(lock) &&) true

check: lint types test ## Everything a change has to pass: lint, types, test

verify: $(READY) ## Run the long simulations and write their tables into docs/
	@$(BIN)/pytest -m verify $(ARGS)
	@$(BIN)/python docs/studies/write_tables.py

simulate: $(READY) ## Run the schedule of a seed on the simulated stores (SEED=7; COUNT=100 from that seed on, over all cores)
	@PYTHONPATH=apps/bandit-service/tests $(BIN)/python -m simulation --seed $(or $(SEED),0) --count $(or $(COUNT),1) \
		--workers $(if $(COUNT),$(shell nproc 2>/dev/null || echo 2),1) $(ARGS)

# Of the parts that the simulation is about, by it alone: which lines and branches are never taken; and which situations
# of an abstract model of the protocol are reached.
simulate-coverage: $(READY) ## Report which branches of ledger, spool, mirror and outcomes the simulation takes (SEED, COUNT: 200)
	@rm -f .local/coverage/simulation
	@PYTHONHASHSEED=0 PYTHONPATH=apps/bandit-service/tests $(BIN)/coverage run --branch --source=bandit_service \
		--data-file=.local/coverage/simulation --rcfile=/dev/null -m simulation \
		--seed $(or $(SEED),0) --count $(or $(COUNT),200) --whole --situations
	@$(BIN)/coverage report --data-file=.local/coverage/simulation --rcfile=/dev/null --show-missing \
		--include='*/ledger/*,*/spool/*,*/mirror/*,*/domain/outcome.py,*/allocation/settler.py,*/api/decisions/own_ids.py'

bench: $(READY) ## Measure speed against named references in one run (options: ARGS="--help")
	@PYTHONPATH=apps/bandit-service $(BIN)/python -m benchmarks $(ARGS)
	@PYTHONPATH=apps/bandit-core $(BIN)/python -m benchmarks.ope
	@PYTHONPATH=apps/bandit-core $(BIN)/python -m benchmarks.replay
	@OPENBLAS_NUM_THREADS=1 PYTHONPATH=apps/bandit-core $(BIN)/python -m benchmarks.contextual

manifests: $(READY) ## Build every Kubernetes overlay, validate every object, compare it with the code
	@$(BIN)/pytest k8s $(ARGS)

dashboards: $(READY) ## Write Grafana's dashboards and alert rules again, from the code in grafana/
	@PYTHONPATH=grafana $(BIN)/python -m dashboards

schema: $(READY) ## Write again, from the code: docs/experiment.schema.json, docs/settings.md, the OpenAPI document
	@mkdir -p .local
	@PYTHONPATH=docs:$(ROUTER)/src $(BIN)/python -m studies.settings_table > .local/settings.md && mv .local/settings.md docs/settings.md
	@$(BIN)/python -m bandit_core.rules.json_schema > docs/experiment.schema.json
	@$(BIN)/bandit-service openapi > .local/openapi.json && mv .local/openapi.json apps/bandit-service/src/bandit_service/openapi.json

# The tools of the environment build them, so nothing is fetched.
wheels: $(READY) ## Build the wheels of all apps into dist/ (or WHEELS=folder)
	@$(foreach app,$(APPS),$(BIN)/uv build --quiet --offline --no-build-isolation --python $(BIN)/python --wheel \
		--out-dir $(WHEELS) $(app) &&) true

lock: $(READY) ## Choose the newest versions of all dependencies again and pin them with their hashes
	@$(COMPILE) --upgrade $(addprefix --extra ,cluster local learner postgres cli mcp) $(foreach app,$(TOGETHER),--no-emit-package $(notdir $(app))) \
		$(addsuffix /pyproject.toml,$(TOGETHER)) --group pyproject.toml:dev -o requirements/lock.txt
	@$(COMPILE) --upgrade --no-deps --group pyproject.toml:data -o requirements/data.txt
	@$(COMPILE) --upgrade --no-emit-package bandit-sdk $(ROUTER)/pyproject.toml -o requirements/router.txt
	@echo uv | $(COMPILE) --upgrade - -o requirements/uv.txt
	@$(MAKE) image-locks

# What an image needs of the common lock: the same versions, and no tool of development.
image-locks: $(READY)
	@$(COMPILE) -c requirements/lock.txt --no-emit-package bandit-core --no-emit-package bandit-sdk --extra cli \
		apps/bandit-service/pyproject.toml apps/bandit-sdk/pyproject.toml -o requirements/service.txt
	@$(COMPILE) -c requirements/lock.txt --no-emit-package bandit-core --no-emit-package bandit-sdk --extra cluster \
		apps/bandit-pipeline/pyproject.toml -o requirements/pipeline.txt
	@printf 'hatchling\nuv\n' | $(COMPILE) -c requirements/lock.txt -c requirements/uv.txt - -o requirements/build.txt

setup: $(READY) $(ROUTER_READY) ## Install everything into .venv (the other targets do that themselves)

clean: ## Remove .local, the data of make run, and dist, the wheels
	@rm -rf .local dist

$(READY): $(addprefix requirements/,lock.txt data.txt uv.txt) $(addsuffix /pyproject.toml,$(TOGETHER)) .ci/setup
	@.ci/setup .venv $(TOGETHER)

$(ROUTER_READY): requirements/router.txt $(ROUTER)/pyproject.toml apps/bandit-sdk/pyproject.toml .ci/setup | $(READY)
	@.ci/setup $(ROUTER)/.venv apps/bandit-sdk $(ROUTER)

# A copied or moved checkout brings an environment along that belongs to another place.
ifneq ($(shell cat .venv/place 2>/dev/null),$(CURDIR))
$(READY): FORCE
endif
ifneq ($(shell cat $(ROUTER)/.venv/place 2>/dev/null),$(CURDIR))
$(ROUTER_READY): FORCE
endif
