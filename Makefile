# `make` lists what there is.
.DEFAULT_GOAL := help
.PHONY: help setup run check test matrix bench faults upgrade mutations api browser docs fmt clean

export PATH := $(HOME)/.cargo/bin:$(PATH)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: PostgreSQL, RabbitMQ, a C compiler, Rust
	@scripts/setup.sh

run: setup ## Build Florin, start it with private servers, run the demo; Ctrl-C stops it
	@scripts/run.sh

check: setup ## Check format, spelling, dependencies (licences, advisories, unused ones) and lints
	@scripts/check.sh

test: setup ## make check, then all tests on real servers
	@scripts/test.sh

matrix: setup ## Run the tests on other versions of RabbitMQ and PostgreSQL, write docs/reference/servers.md
	@scripts/setup.sh --faults
	@scripts/matrix.sh

bench: setup ## Measure everything side by side on private servers, write target/bench/; ARGS=--quick to try it
	@scripts/bench.sh $(ARGS)

api: setup ## Test the HTTP API against its OpenAPI document with schemathesis
	@scripts/api.sh

browser: setup ## Test the console in a real browser; installs Chromium and Node.js if missing
	@scripts/browser.sh

faults: setup ## Inject faults and prove that nothing is lost: SEED=1 SEEDS=20 MINUTES=60 TOPOLOGY=cluster
	@scripts/setup.sh --faults
	@SEED='$(SEED)' SEEDS='$(SEEDS)' MINUTES='$(MINUTES)' KINDS='$(KINDS)' TOPOLOGY='$(TOPOLOGY)' scripts/faults.sh

upgrade: setup ## Fault runs with the previous version and this one together: SEED=1 SEEDS=5 MINUTES=5
	@scripts/setup.sh --faults
	@SEED='$(SEED)' SEEDS='$(SEEDS)' MINUTES='$(MINUTES)' KINDS='$(KINDS)' TOPOLOGY='$(TOPOLOGY)' scripts/upgrade.sh

mutations: setup ## Break Florin on purpose, one way at a time: the fault runs must catch each
	@scripts/setup.sh --faults
	@scripts/mutations.sh $(NAMES)

docs: setup ## Build the documentation site, check its links, run its examples in each language
	@scripts/docs.sh

fmt: ## Format the code
	cargo fmt --all

clean: ## Remove what was built
	cargo clean
