# Everything runs in .venv, made on first use from pinned versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := libs services tests

.PHONY: demo test check bench bench-gateway test-clients lock clean

demo: $(VENV)/ready ## start everything, deploy a model, chat: make demo [MODEL=path.gguf | MODEL=org/repo] [ARGS=--exit]
	$(BIN)/modelyard demo $(MODEL) $(ARGS)

test: $(VENV)/ready lint ## lint, types, import rules and all tests, two files at a time
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/ready lint ## the fast part: no servers are started
	$(BIN)/python -m pytest -q tests/modelyard_*/domain tests/modelyard_contracts tests/modelyard_models/shape tests/modelyard_models/estimators tests/test_owners.py

.PHONY: lint
lint: $(VENV)/ready
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports

bench: $(VENV)/ready ## figures as ratios to a baseline in the same run: make bench [ONLY="append visible"]
	cd tests && ../$(BIN)/python -W ignore -m bench $(ONLY)

.PHONY: bench-estimate
bench-estimate: $(VENV)/ready ## estimates of memory beside what was measured; fails where a target is missed
	cd tests && ../$(BIN)/python -m bench_estimate

bench-gateway: $(VENV)/ready .venv-rivals/ready ## what a request and a streamed chunk cost, beside nginx, sglang-router and LiteLLM: make bench-gateway [ARGS="--only steady --minutes 1"]
	cd tests && ../$(BIN)/python -W ignore -m bench.gateway $(ARGS)

.PHONY: simulate-seeds
simulate-seeds: $(VENV)/ready ## the scheduler in bad weather on a virtual clock: make simulate-seeds SEEDS=1000 (or one: SEEDS=17:18)
	MODELYARD_SEEDS=$(or $(SEEDS),1000) $(BIN)/python -m pytest -q tests/modelyard_scheduler/test_simulation.py

test-clients: .venv-clients/ready ## client libraries of others against a real model server through the gateway
	.venv-clients/bin/python -m pytest -q tests/clients

.venv-clients/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/pip install --quiet -r requirements.lock
	.venv-clients/bin/pip install --quiet --no-build-isolation -e '.[clients]'
	@touch $@

.venv-rivals/ready: tests/bench/gateway/rivals.txt
	$(PYTHON) -m venv .venv-rivals
	.venv-rivals/bin/pip install --quiet -r tests/bench/gateway/rivals.txt
	@touch $@

lock: ## pin the newest versions that fit pyproject.toml
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[all,dev]'
	$(BIN)/pip freeze --exclude-editable --exclude pip | grep -v '^-e ' > requirements.lock
	touch $(VENV)/ready

clean:
	rm -rf $(VENV) .venv-clients .venv-rivals .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/ready: requirements.lock pyproject.toml
	@echo "Making $(VENV) with pinned dependencies (about two minutes the first time) ..."
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Modelyard needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: test-docker
test-docker: $(VENV)/ready ## containers on a real Docker engine: make test-docker [SOCKET=/var/run/docker.sock]
	MODELYARD_TEST_DOCKER=$(or $(SOCKET),/var/run/docker.sock) $(BIN)/python -m pytest -q \
	  tests/modelyard_worker_agent/adapters/test_executors.py tests/modelyard_worker_agent/test_containers.py \
	  tests/modelyard_worker_agent/launchers/test_pulling.py

.PHONY: test-vllm
test-vllm: $(VENV)/ready ## a real vLLM on the CPU: make test-vllm VLLM=/path/to/bin/vllm
	MODELYARD_TEST_VLLM=$(VLLM) $(BIN)/python -m pytest -q --timeout=900 tests/real_vllm

.PHONY: test-compose
test-compose: $(VENV)/ready ## builds the images, runs deploy/compose on a real Docker engine: make test-compose [COMPOSE=docker-compose]
	COMPOSE="$(or $(COMPOSE),docker compose)" MODELYARD_TEST_COMPOSE=1 $(BIN)/python -m pytest -q -s tests/deploy/test_compose_stack.py
