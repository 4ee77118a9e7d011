# `make demo` and `make test` need Python 3.11, make and git, and nothing else.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

export TF_CPP_MIN_LOG_LEVEL ?= 3
# Images of containers often set it. What is installed is compiled by who imports it first (`--no-compile`): each process
# that imports Keras would compile all of it anew, which takes 20 seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test check lint test-tensorflow test-searches test-jax test-torch test-lowest test-extras test-all docs bench clean

install: $(INSTALLED)

# Type checkers follow a path, but not setuptools' hooks. The stamp comes last, so an install that was cut short starts
# again.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[tensorflow,jax,torch,safetensors,hub,detection,proposals,tuning,postgres,dashboard,dev]"
	$(BIN)/python -c "import sysconfig; print('$(CURDIR)', file=open(sysconfig.get_path('purelib') + '/checkout.pth', 'w'))"
	touch $(INSTALLED)

demo: install
	$(BIN)/keras-blocks search --data digits --trials 8 --run runs/demo --fresh --at-least 95

# Two at a time, the longest first, so that both end together: a test keeps one core busy, or less than one in searches.
test: install
	$(MAKE) --jobs=2 --output-sync=target test-searches test-torch test-jax test-tensorflow lint

# One file on one backend, in seconds: make check FILE=tests/test_block.py BACKEND=jax K=nested
BACKEND ?= tensorflow
check: $(if $(wildcard $(INSTALLED)),,install)
	KERAS_BACKEND=$(BACKEND) $(BIN)/python -m pytest --durations=5 $(FILE) $(if $(K),-k "$(K)")

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-tensorflow: install
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest --ignore tests/tuning

test-searches: install
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest tests/tuning

test-jax: install
	KERAS_BACKEND=jax $(BIN)/python -m pytest --ignore tests/tuning

test-torch: install
	KERAS_BACKEND=torch $(BIN)/python -m pytest --ignore tests/tuning

# The lower bounds of pyproject.toml, in an environment of their own.
test-lowest: export XLA_FLAGS =
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet "keras==3.14.1" "numpy==1.26.4" "jax==0.4.38" "pillow==10.3.0" "pycocotools==2.0.8" "opencv-contrib-python-headless==4.10.0.84" pytest hypothesis --editable ".[tuning]"
	KERAS_BACKEND=jax .venv-lowest/bin/python -m pytest --ignore tests/tuning

# Each extra in an environment of its own: one that uses what it does not bring shows nowhere else.
test-extras:
	$(PYTHON) tests/try_extras.py

# Every network, every policy, and many more random configurations, on every backend.
test-all: export KERAS_BLOCKS_ALL = 1
test-all: test docs test-lowest test-extras bench

# The site, in site/: pages that follow from the code are made anew in docs/generated, and are no part of the repository.
docs: install
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[docs]"
	PYTHONPATH=docs:tests:tests/models KERAS_BACKEND=jax $(BIN)/python -m generator
	$(BIN)/zensical build --clean --strict
	$(BIN)/python tests/site_links.py site

bench: install
	$(BIN)/python benchmarks/cost.py
	$(BIN)/python benchmarks/import_time.py
	$(BIN)/python benchmarks/remat_memory.py

clean:
	rm -rf $(VENV) .venv-lowest build dist site docs/generated *.egg-info
