# The README's two commands. Each makes .venv if it is not there and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all test-gpu

demo: .venv/demo
	$(BIN)/hyperstyle-deploy demo

test: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

test-all: test
	$(BIN)/python -m pytest -m exhaustive

# On a machine with a GPU, in the environment that is active: it has the GPU's packages, and the kernel is built.
test-gpu:
	REQUIRE_GPU=1 python -m pytest tests/gpu

.venv/demo: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[export,cpu]"
	touch $@

.venv/test: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[export,cpu,openvino,tensorrt-rtx,calibrate,report,dev]"
	mkdir -p .venv/types && ln -sfn ../.. .venv/types/hyperstyle_deploy  # the package's name, for mypy
	touch $@
