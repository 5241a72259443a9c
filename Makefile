# `make` lists what there is.
.DEFAULT_GOAL := help
.PHONY: help setup run test bench faults mutations api browser docs fmt clean

export PATH := $(HOME)/.cargo/bin:$(PATH)

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: PostgreSQL, RabbitMQ, a C compiler, Rust
	@scripts/setup.sh

run: setup ## Build Florin, start it with private servers, run the demo, stay until Ctrl-C
	@scripts/run.sh

test: setup ## Check format, lints and dependencies, run all tests on real servers
	@scripts/test.sh

bench: setup ## Measure everything side by side on private servers, write bench/results/; ARGS=--quick to try it
	@scripts/bench.sh $(ARGS)

api: setup ## Let schemathesis try the HTTP API against its document
	@scripts/api.sh

browser: setup ## Try the console in a real browser: installs Chromium and Node.js if they are missing
	@scripts/browser.sh

faults: setup ## Prove under faults that nothing is lost: SEED=1 SEEDS=20 MINUTES=60
	@scripts/setup.sh --faults
	@SEED='$(SEED)' SEEDS='$(SEEDS)' MINUTES='$(MINUTES)' KINDS='$(KINDS)' scripts/faults.sh

mutations: setup ## Break Florin on purpose, in many ways: the fault runs must notice each
	@scripts/setup.sh --faults
	@scripts/mutations.sh $(NAMES)

docs: setup ## Build the documentation site, check its links, run its examples in each language
	@scripts/docs.sh

fmt: ## Format the code
	cargo fmt --all

clean: ## Remove what was built
	cargo clean
