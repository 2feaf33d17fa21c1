# The README's two commands. Each makes .venv if it is not there and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all test-gpu dist

demo: .venv/demo
	$(BIN)/hyperstyle-deploy demo

test: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

test-all: test .venv/ray
	$(BIN)/python -m pytest -m exhaustive

# On a machine with a GPU, in the environment that is active: it has the GPU's packages, and the kernel is built.
test-gpu:
	REQUIRE_GPU=1 python -m pytest tests/gpu

# The sdist and the wheel, in dist/. Where nvcc is, the wheel has the kernels' library for all architectures, and is for
# this platform; elsewhere it has their sources alone, and is for any.
dist: .venv/test
	rm -rf build dist *.egg-info  # nothing of earlier builds
	$(BIN)/python -m build --sdist
	if command -v nvcc >/dev/null; then $(BIN)/python -m hyperstyle_deploy.kernels.build; else rm -rf kernels/lib; fi
	platform=$$($(BIN)/python -c "import sysconfig as s; print(s.get_platform().replace('-', '_').replace('.', '_'))"); \
	test -e kernels/lib || platform=any; \
	$(BIN)/python -m build --wheel -C=--build-option=--plat-name=$$platform
	ls -l dist

.venv/demo: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[export,cpu]"
	touch $@

.venv/test: pyproject.toml runtime/serving/web/onnxruntime_web.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[export,cpu,openvino,tensorrt-rtx,calibrate,report,video,parquet,serve,dev]"
	if command -v npm >/dev/null; then $(MAKE) .venv/onnxruntime-web; fi  # for the tests of the page without a server
	mkdir -p .venv/types && ln -sfn ../.. .venv/types/hyperstyle_deploy  # the package's name, for mypy
	touch $@

# Ray, 79 MB and pandas, which the long tests alone need.
.venv/ray: pyproject.toml .venv/test
	$(BIN)/python -m pip install --quiet --editable ".[ray]"
	touch $@

# ONNX Runtime Web's files, from npm, of the version that stands there.
.venv/onnxruntime-web: runtime/serving/web/onnxruntime_web.py
	$(BIN)/python -m hyperstyle_deploy.runtime.serving.web.onnxruntime_web $@
