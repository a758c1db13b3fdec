# Every target works from a fresh clone with Python 3.11 (or newer), pip and
# make: it creates .venv, adds what it needs, and remembers that in a stamp, so
# that a second run installs nothing. A changed pyproject.toml is installed anew.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
# Named exactly, so that pip takes a CPU build where it has been given one.
TORCH := torch==2.13.0

# Extra arguments for pytest: make test PYTEST_FLAGS="-x --durations=9"
PYTEST_FLAGS ?=
SELECT ?= not slow
# Tests compile much and run it once: XLA's older code generator, in one part
# and without LLVM's optimizations, takes half the time. conftest.py reads these
# flags, and tells TensorFlow the same. `make test-all` tests what users run.
TEST_XLA_FLAGS ?= --xla_backend_optimization_level=0 \
	--xla_cpu_use_fusion_emitters=false \
	--xla_cpu_parallel_codegen_split_count=1
DEMO_FOLDER ?= runs/demo
SUPPORT ?=

# Two pips must not write to one environment.
.NOTPARALLEL:
.PHONY: help demo test test-all test-tensorflow test-jax test-torch \
	lint \
	lint-style lint-imports lint-types format dist bench docs docs-serve \
	docs-look docs-links \
	support clean

help:
	@echo "make demo      train RNNSearch and see what it reads (TensorFlow)"
	@echo "make test      all tests on TensorFlow, the promises on JAX and torch"
	@echo "make test-all  the same with the slow tests"
	@echo "make lint      style, import rules, types"
	@echo "make format    rewrite the code in the style that lint asks for"
	@echo "make dist      wheel and sdist, tried on each backend"
	@echo "make bench     time and memory against peers"
	@echo "make docs      the site, in site/index.html (docs-serve shows it)"
	@echo "make docs-look look at the site in Chromium"
	@echo "make support   run what the site's support table says"
	@echo "make clean     remove .venv, dist, site and caches"

$(VENV)/.created:
	@echo "Creating $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"Python 3.11 or newer is needed; name it: make PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: pyproject.toml | $(VENV)/.created
	@echo "Installing TensorFlow and the applications extra into $(VENV)"
	@$(INSTALL) -e ".[applications]"
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/.created
	@echo "Installing TensorFlow, JAX, torch and the test extra into $(VENV)"
	@$(INSTALL) "$(TORCH)"
	@$(INSTALL) -e ".[tensorflow,jax,torch,test]"
	@# Without torchvision, which has no build beside this torch.
	@# And flax without what it trains with, to write checkpoints as scenic does.
	@$(INSTALL) --no-deps "timm>=1.0.31" "flax>=0.10"
	@touch $@

$(VENV)/.bench: pyproject.toml $(VENV)/.test
	@echo "Installing the bench extra into $(VENV)"
	@$(INSTALL) -e ".[bench]"
	@# Of which one file is read, without torchvision: see above.
	@$(INSTALL) --no-deps "vit-pytorch>=1.26"
	@touch $@

$(VENV)/.support: pyproject.toml $(VENV)/.test
	@echo "Installing the support extra into $(VENV)"
	@$(INSTALL) -e ".[support]"
	@touch $@

$(VENV)/.docs: pyproject.toml | $(VENV)/.created
	@echo "Installing TensorFlow and the docs and test extras into $(VENV)"
	@$(INSTALL) -e ".[tensorflow,docs,test]"
	@touch $@

$(VENV)/.browser: pyproject.toml $(VENV)/.docs
	@echo "Installing the browser extra into $(VENV)"
	@$(INSTALL) -e ".[browser]"
	@touch $@

$(VENV)/.lint: pyproject.toml | $(VENV)/.created
	@echo "Installing the dev extra into $(VENV)"
	@$(INSTALL) -e ".[dev]"
	@touch $@

demo: $(VENV)/.demo
	KERAS_BACKEND=tensorflow $(BIN)/python -m applications.translation.train \
		--recipe demo --output $(DEMO_FOLDER) --overwrite

BACKENDS := tensorflow jax torch
test: $(VENV)/.test
	$(BIN)/python tools/run_tests.py --select "$(SELECT)" \
		--xla-flags="$(TEST_XLA_FLAGS)" --flags="$(PYTEST_FLAGS)" $(BACKENDS)

test-all: export SELECT := slow or not slow
test-all: export TEST_XLA_FLAGS :=
test-all: test

test-tensorflow test-jax test-torch: test-%:
	@$(MAKE) --no-print-directory test BACKENDS=$*

lint: lint-style lint-imports lint-types

lint-style: $(VENV)/.lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check

lint-imports: $(VENV)/.lint
	$(BIN)/lint-imports

# With the backends there, so that what it says does not depend on the order
# in which targets were made.
lint-types: $(VENV)/.lint $(VENV)/.test
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.lint
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

dist: $(VENV)/.lint
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*
	$(BIN)/python tools/check_wheel.py dist/*.whl --pin "$(TORCH)"

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

# Warnings are errors, and so is a picture that a page asks another host for.
docs: $(VENV)/.docs
	@# The gallery is kept by its scripts alone, not by the library they run.
	rm -rf site docs/gallery
	KERAS_BACKEND=tensorflow $(BIN)/sphinx-build -n -W --keep-going -E -q -d build/doctrees docs site
	KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 \
		$(BIN)/python tools/check_site.py site
	@echo "Open site/index.html"

docs-serve: $(VENV)/.created
	test -f site/index.html || $(MAKE) docs
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory site 8000

# Opens the site in a headless Chromium, which must be installed: whether it can
# be read, in the dark and on a phone too. Leaves pictures in build/look/.
docs-look: $(VENV)/.browser
	test -f site/index.html || $(MAKE) docs
	$(BIN)/python -m pytest -m "slow or not slow" -rs tests/browser

# Asks the other hosts that pages link to: needs the network.
docs-links: $(VENV)/.docs
	$(BIN)/sphinx-build -E -q -b linkcheck -d build/doctrees docs build/links

# Runs each layer and model in each way on each backend, all three at once
# (half an hour of each), and writes the page. Only some rows or one backend:
# make support SUPPORT="--backend jax --cases LuongNMT"
support: $(VENV)/.support
	$(BIN)/python -m docs.supported $(SUPPORT)

clean:
	rm -rf $(VENV) build dist site docs/gallery docs/images/api .pytest_cache .ruff_cache .import_linter_cache
	find keras_attention applications benchmarks docs tests tools \
		-name __pycache__ -type d -prune -exec rm -rf {} +
