# `make demo` and `make test` need Python 3.11, make and git, and nothing else.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: install demo test lint test-tensorflow test-searches test-jax test-torch test-lowest test-all bench clean

install: $(INSTALLED)

# The stamp comes last, so an install that was cut short starts again.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[tensorflow,jax,torch,safetensors,tuning,postgres,dashboard,dev]"
	touch $(INSTALLED)

demo: install
	$(BIN)/keras-blocks search --data digits --trials 8 --run runs/demo --fresh --at-least 95

# What is counted, checked or drawn the same on all backends is tested on one; `make test-all` tests it on each.
ONCE := $(addprefix tests/,test_imports.py test_typing.py test_errata.py test_errata_inception.py test_decoding.py test_samplers.py \
	models/test_ledger.py models/test_omniglot.py models/test_registry.py)
ELSEWHERE = --ignore tests/tuning $(if $(KERAS_BLOCKS_ALL),,$(addprefix --ignore ,$(ONCE)))

# Two backends at a time: a test keeps one core busy.
test: lint
	$(MAKE) --jobs=2 --output-sync=target test-tensorflow test-jax test-torch test-searches

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-tensorflow: install
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest --ignore tests/tuning

test-searches: install
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest tests/tuning

# Most of JAX's time is XLA compiling small operations; its expensive passes change no result that is tested.
test-jax: export XLA_FLAGS = --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true \
	--xla_cpu_use_fusion_emitters=false
test-jax: install
	KERAS_BACKEND=jax $(BIN)/python -m pytest $(ELSEWHERE)

test-torch: install
	KERAS_BACKEND=torch $(BIN)/python -m pytest $(ELSEWHERE)

# The lower bounds of pyproject.toml, in an environment of their own.
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet "keras==3.14.1" "numpy==1.26.4" "jax==0.4.38" pytest hypothesis pillow --editable .
	KERAS_BACKEND=jax .venv-lowest/bin/python -m pytest --ignore tests/tuning

# Every network on every backend.
test-all: export KERAS_BLOCKS_ALL = 1
test-all: test test-lowest bench

bench: install
	$(BIN)/python benchmarks/cost.py
	$(BIN)/python benchmarks/import_time.py
	$(BIN)/python benchmarks/remat_memory.py

clean:
	rm -rf $(VENV) .venv-lowest build dist *.egg-info
