# One way to do each thing; `make help` lists them. One target triple and one profile (dev) for demo, tests and CI.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

TRIPLE := $(or $(CARGO_BUILD_TARGET),$(shell sed -n '/^\[build\]/,/^\[/s/^target *= *"\(.*\)"/\1/p' .cargo/config.toml))
TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/$(TRIPLE)/debug
# Everything is built with the same features, so that nothing is built twice; lint also looks at it without them.
FEATURES := --workspace --features c1-operator/fault-points
SIMULATOR_TESTS := $(notdir $(patsubst %/main.rs,%,$(wildcard tests/simulator/tests/*/main.rs)) $(basename $(wildcard tests/simulator/tests/*.rs)))
SCRIPTS := $(wildcard .ci/run tests/*/*.sh tests/*/*/*.sh)

# $(call step,NAME,COMMAND): runs COMMAND, and keeps what it says for the counts at the end of `make test`.
STEPS := $(TARGET)/test
step = @mkdir -p $(STEPS); echo "==> $(1)"; ($(2)) 2>&1 | tee $(STEPS)/$(1).log

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

.PHONY: demo up down
demo: build ## from nothing to a login at C1 with an issued credential; ONCE=1 takes it all down again
	@tests/dev/demo.sh

up: build ## control plane, C1 simulator and operator in the background; then: source target/dev/env
	@tests/dev/up.sh

down: ## end what `make up` started
	@tests/dev/down.sh

.PHONY: build fmt crds chart-docs
build: ## operator and simulator, as tests and demo use them
	cargo build $(FEATURES)

fmt: ## format the Rust sources
	cargo fmt --all

crds: build ## generate crds/ from the types, and copy them into the chart
	@mkdir -p crds charts/c1-operator/files/crds
	@rm -f crds/*.yaml charts/c1-operator/files/crds/*.yaml
	$(BIN)/c1-operator crds --dir crds
	@cp crds/*.yaml charts/c1-operator/files/crds/

chart-docs: ## make the chart's README of the comments in its values.yaml
	@tests/controlplane/tools/build.sh $(TARGET)/tools
	$(TARGET)/tools/helm-docs --chart-search-root charts --sort-values-order file --log-level warning

.PHONY: test counts
test: ## all that CI runs; the last lines are the counts
	@rm -rf $(STEPS)
	@$(MAKE) lint test-unit test-model test-simulator test-c1
	@# The image's binary takes minutes, which the tests that wait for things leave idle. What is wrong with it e2e says.
	@(command -v buildah >/dev/null && exec nice -n 19 cargo build --quiet --release --locked -p c1-operator) & release=$$!; \
	trap 'kill $$release 2>/dev/null || true' EXIT; \
	$(MAKE) test-integration test-torture test-year; wait $$release || true; \
	$(MAKE) e2e counts

# A suite in which nothing ran has not passed (only of doc tests there may be none, and e2e says why it cannot run).
counts:
	@echo "==> counts"; \
	for step in unit doc model simulator c1 api promises reasons chart torture year e2e; do \
	  grep -hE '^test result: ok\. [1-9]|^states [1-9][0-9]*, exhaustive yes|^[0-9]+ renderings accepted|^[1-9][0-9]* histories, 0 violations|^[1-9][0-9]* rotations, [1-9][0-9]* logins, 0 failures|^e2e: [1-9][0-9]* checks passed|SKIPPED: the end-to-end test' $(STEPS)/$$step.log \
	    | sed "s/; [0-9]* measured.*//; s/^e2e: //; s/^/$$(printf '%-10s' $$step)/" \
	    || [[ $$step == doc ]] || { echo "$$step: no test ran"; exit 1; }; \
	done

.PHONY: lint test-unit test-model test-simulator test-c1 test-integration test-api test-promises test-reasons test-chart test-torture test-year
lint: ## formatting, clippy with the test features and without, shellcheck
	cargo fmt --all --check
	cargo clippy $(FEATURES) --all-targets -- -D warnings
	cargo clippy --workspace --all-targets -- -D warnings
	@. tests/dev/lib.sh; ! needs shellcheck "the lint of the scripts" || shellcheck -S warning -x $(SCRIPTS)

test-unit: ## unit and doc tests
	$(call step,unit,cargo test $(FEATURES) --lib --bins)
	$(call step,doc,cargo test $(FEATURES) --doc)

test-model: build ## the protocol, in small worlds; `make model` tries large ones
	$(call step,model,$(BIN)/model small --traces $(TARGET)/model)

test-simulator: ## the C1 simulator against what is known of C1
	$(call step,simulator,cargo test $(FEATURES) $(or $(addprefix --test ,$(SIMULATOR_TESTS)),$(error no tests under tests/simulator/tests)))

test-c1: build ## the client of C1's API against the simulator
	$(call step,c1,cargo test $(FEATURES) --test c1)

# One control plane for all four; each alone brings up its own.
test-integration: build ## all that needs an API server: the four below
	@tests/controlplane/run.sh $(MAKE) test-api test-promises test-reasons test-chart

test-api: build ## schema, status, RBAC, on a real API server
	$(call step,api,tests/controlplane/run.sh cargo test $(FEATURES) --test api)

test-promises: build ## a test a promise, through every fault point
	$(call step,promises,tests/controlplane/run.sh cargo test $(FEATURES) --test promises -- --test-threads=1)

test-reasons: build ## every bad input, its reason and its message
	$(call step,reasons,tests/controlplane/run.sh cargo test $(FEATURES) --test reasons)

test-chart: ## every value of the chart, and every rendering, taken by a real API server
	$(call step,chart,tests/controlplane/run.sh tests/dev/chart-check.sh)

test-year: build ## a short run of `make year`
	$(call step,year,tests/controlplane/run.sh $(BIN)/year)

test-torture: build ## a short run of `make torture`
	$(call step,torture,tests/controlplane/run.sh $(BIN)/torture --objects 60 --seconds 15)

.PHONY: image e2e
image: ## the container image, in target/image/c1-operator.tar, without daemon or network
	@tests/e2e/image.sh operator

e2e: build ## image and chart on a real one-node cluster, from helm install to helm uninstall; as root
	$(call step,e2e,tests/e2e/run.sh)

.PHONY: manifests bench model torture year torture-selftest mutants sabotage audit clean
manifests: ## plain manifests of the chart for kubectl, in target/manifests; ARGS="--set image.repository=..."
	@mkdir -p $(TARGET)/manifests
	@tests/dev/manifests.sh $(ARGS) >$(TARGET)/manifests/c1-operator.yaml.new
	@mv $(TARGET)/manifests/c1-operator.yaml.new $(TARGET)/manifests/c1-operator.yaml
	@echo "kubectl apply --server-side -f $(TARGET)/manifests/c1-operator.yaml"

# The operator by itself, as the image has it: beside other packages it would get the features that they want.
bench: ## how fast, small and quiet the release build is, beside a bare client; ARGS="--objects 200"
	cargo build --release -p c1-operator
	cargo build --release -p c1-simulator -p c1-bench
	@tests/controlplane/run.sh $(TARGET)/$(TRIPLE)/release/c1-bench $(ARGS)

model: ## the protocol in large worlds, each to its end, and what breaks without each of its rules
	cargo build --release -p model
	$(TARGET)/$(TRIPLE)/release/model all --traces $(TARGET)/model

RUNS ?= 1
SEED ?= 1
torture: build ## two replicas and everything that goes wrong, at random; RUNS=n SEED=s, ARGS="--objects 60"
	cargo build --release -p c1-operator
	@tests/controlplane/run.sh $(BIN)/torture --release $(TARGET)/$(TRIPLE)/release/c1-operator --runs $(RUNS) --seed $(SEED) $(ARGS)

CRS ?= 1000
year: build ## a year in the life of CRS objects: every credential works on every day of it
	@tests/controlplane/run.sh $(BIN)/year --crs $(CRS) $(ARGS)

torture-selftest: build ## take one guard out: torture must find a violation
	@tests/controlplane/run.sh tests/torture/selftest.sh

mutants: ## change plan and C1 client in one place at a time; a test must notice; FILES="src/plan/need.rs" for some
	@tests/dev/mutants.sh $(FILES)

sabotage: build ## take one guard out at a time; its test must notice
	@tests/controlplane/run.sh tests/sabotage/run.sh

audit: ## licences, sources and doubled versions of the dependencies
	@. tests/dev/lib.sh; ! needs cargo-deny "the audit" || cargo deny check bans licenses sources

clean: down ## remove all that was built, the control plane too
	@! [[ -s $(TARGET)/e2e/cluster/netns ]] || tests/controlplane/cluster-down.sh $(TARGET)/e2e/cluster --purge
	rm -rf $(TARGET)
