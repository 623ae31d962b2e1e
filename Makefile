# Everything runs in .venv; each target sets it up first, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.installed

.PHONY: demo install test test-slow lint types bench constraints clean

demo: $(READY)
	$(BIN)/tfrobust demo

install: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(READY)

test: lint types
	$(BIN)/python -m pytest

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m benchmarks.run

constraints: $(READY)
	{ echo "# The versions everything was tested with. Renew: make constraints"; \
	  $(BIN)/python -m pip freeze --exclude-editable --exclude tfrobust; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache
