# `make demo` and `make test` are all that is needed; both set up .venv first.
# Needs Python >= 3.11 (another one: make PYTHON=python3.12 ...), make and a C++ compiler.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(notdir $(PYTHON))

# Three processes test at once, each with one thread: more threads than cores are slower than fewer, and some tests wait.
test test-long: export OMP_NUM_THREADS ?= 1
# Their many small files lie in memory, where that has room.
test test-long: export TMPDIR ?= $(shell .ci/memory)

.PHONY: demo test test-long test-gpu test-real lint types contracts spelling docs links changelog check release legs format clean

demo: $(READY)
	$(BIN)/gradstore demo

test: $(READY)
	$(BIN)/python -m pytest -m "not real and not long" -n 3 --dist worksteal

# More kills, more fuzzing and more examples, too.
test-long: export GRADSTORE_EXAMPLES ?= 200
test-long: export GRADSTORE_KILLS ?= 20
test-long: export GRADSTORE_FUZZ ?= 500
test-long: $(READY)
	$(BIN)/python -m pytest -m "not real" -n 3 --dist worksteal

# On a machine with a GPU: what can differ there.
test-gpu: export GRADSTORE_TEST_GPU := 1
test-gpu: $(READY)
	$(BIN)/python -m pytest tests/gradients/test_gpu.py \
	  tests/gradients/test_projection.py tests/gradients/test_golden.py tests/graph/test_lists.py

test-real: $(READY)
	$(BIN)/python -m pip install --quiet -e '.[real]'
	$(BIN)/python -m pytest -m real

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

contracts: $(READY)
	$(BIN)/lint-imports

spelling: $(READY)
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs examples gradstore cli

# Whatever Sphinx warns of, such as a link that leads nowhere, is an error.
docs: $(READY)
	$(BIN)/sphinx-build -q -a -W --keep-going -c docs . docs/_build/html

# Asks every site that the pages link to; needs a network.
links: $(READY)
	$(BIN)/sphinx-build -q -c docs -b linkcheck . docs/_build/links

# What changelog.d adds up to; a file of another name or without text is an error.
changelog: $(READY)
	@! find changelog.d -name '*.md' -size -2c | grep .
	$(BIN)/towncrier build --draft --version Unreleased

check: lint types contracts spelling

# Build what is published, and use it alone in a clean environment: a minute or two.
release:
	.ci/release $(PYTHON)

# The oldest and the newest of what pyproject.toml admits: as long as two test runs.
legs:
	.ci/legs

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist docs/_build gradstore-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find gradstore cli tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml .ci/setup
	.ci/setup $(PYTHON) $(VENV)
	@touch $@

# An environment that no longer starts (its Python was removed, the folder was moved) is set up again.
ifneq ($(shell $(BIN)/python -c 'print("starts")' 2>/dev/null),starts)
.PHONY: $(READY)
endif
