# Everything is installed into this folder: .venv, target, node_modules. `make` alone lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
OLDEST_RUST := $(shell sed -n 's/^rust-version *= *"\([0-9.]*\)"/\1/p' Cargo.toml)

BIN := .venv/bin
# Written when .venv holds what requirements-dev.txt says.
INSTALLED := .venv/installed
# The same for benches/requirements.txt.
RIVALS := .venv/rivals
# maturin puts the module here, and into .venv a link to python/: what is written in Python is always today's.
MODULE := python/auth_middleware/_core.abi3.so
MODULE_SOURCES := Cargo.toml Cargo.lock pyproject.toml $(shell find src -type f 2>/dev/null)

export VIRTUAL_ENV := $(CURDIR)/.venv
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# It would ask PyPI, at every run, whether there is a newer one.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help
help: ## what there is
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

.PHONY: demo
demo: $(MODULE) ## database, Better Auth, API and page; a visitor's real story; on a terminal it then stays up
	@$(BIN)/python -m dev.demo

.PHONY: test
test: $(MODULE) ## every test; REQUIRE_ALL=1: those that need a system program too
	cargo test --locked
	$(BIN)/python -m pytest

.PHONY: canary
canary: $(MODULE) ## VERSION=1.7.25: does that release of better-auth do what we expect of it?
	@$(BIN)/python -m dev.canary "$(VERSION)"
	AUTH_VECTORS=target/canary/$(VERSION) cargo test --locked --test vectors
	AUTH_VECTORS=target/canary/$(VERSION) cargo test --locked --test jwt recorded
	AGREEMENT_PACKAGE=target/canary/$(VERSION) $(BIN)/python -m pytest tests/better_auth/test_live_agreement.py

.PHONY: lint
lint: lint-rust lint-python lint-types lint-imports lint-licences lint-hygiene ## formats, lints, types, who imports whom, licences

.PHONY: bench
bench: wrk $(RIVALS) ## beside the others, in docs/benchmarks.md: look-ups, requests, delays, costs, steps, growth; half an hour, quiet
	$(BIN)/maturin develop --locked --release
	@touch $(MODULE)
	@$(BIN)/python -m benches
	cargo bench --locked --bench headers

.PHONY: fuzz
fuzz: | machine ## inputs that coverage leads to, for less than a minute after the first build
	@"$$($(MACHINE))" -m dev.fuzz

.PHONY: wheel
wheel: $(INSTALLED) ## a manylinux wheel in target/wheels, for CPython 3.11 and later; installed once and imported
	rm -rf target/wheels target/wheel-venv
	$(BIN)/python -m pip install --quiet ziglang==0.17.1
	RUSTFLAGS="$(WITHOUT_OUR_PATHS)" PATH="$(CURDIR)/$(BIN):$$PATH" \
	    maturin build --release --locked --zig --compatibility manylinux2014 --out target/wheels
	$(BIN)/python -m venv target/wheel-venv
	target/wheel-venv/bin/python -m pip install --quiet --constraint requirements-dev.txt target/wheels/*.whl
	cd target && wheel-venv/bin/python -I -c 'import auth_middleware; print("imported", auth_middleware.__file__)'

# A linker of zig's makes the module run with glibc 2.17 and later. Panics name source files: not those of this machine.
WITHOUT_OUR_PATHS = --remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=cargo --remap-path-prefix=$(CURDIR)=.

.PHONY: clean
clean: ## removes what was built and installed
	rm -rf .venv target .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	rm -f python/auth_middleware/*.so
	find . \( -name node_modules -o -name __pycache__ \) -prune -exec rm -rf {} +

# --- lint, part by part: `make -k lint` goes on after the first that fails

.PHONY: lint-rust
lint-rust: $(MODULE)
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --all-targets -- -D warnings
	$(AS_MATURIN) cargo clippy --locked --all-targets --features python -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items --quiet

.PHONY: lint-python
lint-python: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: lint-types
lint-types: $(MODULE)
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m mypy.stubtest auth_middleware._core

.PHONY: lint-imports
lint-imports: $(MODULE)
	$(BIN)/python -m dev.lint.rust_imports
	$(BIN)/lint-imports --no-logo --no-cache

.PHONY: lint-licences
lint-licences: $(MODULE)
	$(BIN)/python -m dev.lint.licences

.PHONY: lint-hygiene
lint-hygiene: $(INSTALLED)
	$(BIN)/python -m dev.lint.hygiene

# pyo3 is built anew when these change: with maturin's own values, clippy and maturin leave each other's work alone.
AS_MATURIN = PYO3_BUILD_EXTENSION_MODULE=1 PYO3_CONFIG_FILE="$$(ls $(CURDIR)/target/maturin/pyo3-config-*-abi3.txt | head -n 1)"

# --- what the rest stands on

$(MODULE): $(INSTALLED) $(MODULE_SOURCES) | machine
	$(BIN)/maturin develop --locked
	@touch $@

$(INSTALLED): requirements-dev.txt | machine
	"$$($(MACHINE))" -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	@touch $@

$(RIVALS): benches/requirements.txt $(INSTALLED)
	$(BIN)/python -m pip install --quiet --requirement benches/requirements.txt
	@touch $@

.PHONY: wrk
wrk:
	@command -v wrk >/dev/null || { echo "make bench needs wrk: apt-get install wrk" >&2; exit 1; }

.PHONY: machine
machine:
	@$(MACHINE) >/dev/null

MACHINE = dev/lint/machine.sh $(OLDEST_RUST) $(PYTHON)
