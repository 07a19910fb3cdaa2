# Everything installs into .venv, in the versions of uv.lock; every target works on a fresh Debian or Ubuntu machine.
# PYTHON: an interpreter of version 3.11. By default python3.11 or python3, and if neither is one, uv downloads one.
# EXTRAS: the optional dependencies of pyproject.toml that are installed.
# UV_TORCH_BACKEND=cpu installs torch without CUDA from PyTorch's own index; `auto` chooses by the GPU's driver.
EXTRAS ?= live,suites,procgen,video,images,minari,dev,docs
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(EXTRAS)
UV_VERSION := 0.13.9
UV := $(or $(shell command -v uv),.uv/bin/uv)
# uv does not read pip's variable.
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif

.PHONY: install quickstart test test-slow lint types docs clean

install: $(STAMP)

$(STAMP): pyproject.toml uv.lock | $(UV)
	@for lib in libGL.so.1 libglib-2.0.so.0; do PATH="$$PATH:/sbin" ldconfig -p | grep -q $$lib || missing="$$missing $$lib"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -q && apt-get install -qy libgl1 libglib2.0-0; \
	  else echo "system libraries are missing:$$missing; install them with: sudo apt-get install libgl1 libglib2.0-0"; exit 2; fi; fi
	@$(BIN)/python -c '' 2>/dev/null || { \
	  for python in $(or $(PYTHON),python3.11 python3); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then found=$$(command -v $$python); break; fi; \
	  done; \
	  if [ -n "$$found" ]; then $(UV) venv -q --clear --seed --python "$$found" $(VENV); \
	  elif [ -n "$(PYTHON)" ]; then echo "PYTHON=$(PYTHON) is no Python 3.11"; exit 2; \
	  else $(UV) venv -q --clear --seed --managed-python --python 3.11 $(VENV); fi; }
	$(UV) export -q --frozen --all-extras --no-hashes --no-emit-project --output-file $(VENV)/constraints.txt
	$(UV) pip install -q --python $(BIN)/python --constraint $(VENV)/constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

# From PyPI, with any Python: the system's own stays as it is.
.uv/bin/uv:
	@command -v python3 >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "uv is missing, and so is what would install it: sudo apt-get install python3-venv"; exit 2; }
	python3 -m venv --clear .uv
	.uv/bin/pip install -q uv==$(UV_VERSION)

quickstart: install
	$(BIN)/gato-dist train configs/quickstart.yaml

# Reading or writing a file in the locale's encoding is an error in our code, and no matter elsewhere.
test test-slow: export PYTHONWARNDEFAULTENCODING = 1
test test-slow: export PYTHONWARNINGS = ignore::EncodingWarning

test: install
	$(BIN)/python -m pytest -q tests -m "not slow"

test-slow: install
	$(BIN)/python -m pytest -q tests -m slow

lint: install
	env -u UV_FIND_LINKS $(UV) lock -q --check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint Dockerfile

# The documentation's site, in site/: no network is needed once the tools are installed. Broken links are errors.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q

types: install
	$(BIN)/mypy

clean:
	rm -rf .uv $(VENV) runs site
