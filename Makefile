# Everything installs into .venv; every target brings itself about on a fresh Debian or Ubuntu machine.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install quickstart test test-slow lint types clean

install: $(STAMP)

$(STAMP): pyproject.toml requirements-nodeps.txt
	@command -v $(PYTHON) >/dev/null || { echo "gato-dist needs Python 3.11: apt-get install python3.11 python3.11-venv, or make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "gato-dist needs Python 3.11, $(PYTHON) is another: make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "venv is missing: apt-get install python3.11-venv"; exit 2; }
	@for lib in libGL.so.1 libglib-2.0.so.0; do PATH="$$PATH:/sbin" ldconfig -p | grep -q $$lib || missing="$$missing $$lib"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -q && apt-get install -qy libgl1 libglib2.0-0; \
	  else echo "system libraries are missing:$$missing; install them with: sudo apt-get install libgl1 libglib2.0-0"; exit 2; fi; fi
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q torch==2.13.0
	$(BIN)/pip install -q -e '.[live,suites,video,images,minari,dev]'
	$(BIN)/pip install -q --no-deps -r requirements-nodeps.txt
	@touch $@

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
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

clean:
	rm -rf $(VENV) runs
