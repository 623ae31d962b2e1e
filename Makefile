# Everything runs in .venv; each target sets it up first, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
READY := .venv/.installed
PEERS := .venv/.peers

.PHONY: demo install test test-slow test-pythons lint types bench reference constraints clean

demo: $(READY)
	$(BIN)/tfrobust demo

install: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(READY)

# In three goes: TensorFlow gives little memory back, and each go starts with fresh processes. The
# longest tests come first, so that neither core waits for the other in the end.
CONTRACT := tests/plugins/attacks/test_attack_contract.py
test: lint types
	$(BIN)/python -m pytest tests/cli tests/core tests/test_example_plugin.py
	$(BIN)/python -m pytest $(CONTRACT)
	$(BIN)/python -m pytest tests/plugins --ignore $(CONTRACT)

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

# With the other Pythons that pyproject.toml declares, where they are installed; each has a .venv-3.N.
test-pythons: $(READY)
	.ci/pythons

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# Foolbox, ART and PyTorch: what the attacks are measured beside; nothing else needs them.
$(PEERS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,bench]"
	touch $(PEERS)

bench: $(PEERS)
	$(BIN)/python -m benchmarks.run

reference: $(READY)
	$(BIN)/python -m benchmarks.reference

constraints: $(PEERS)
	{ echo "# The versions everything was tested with. Renew: make constraints"; \
	  $(BIN)/python -m pip freeze --exclude-editable --exclude tfrobust | sed 's/+cpu$$//'; } \
	  > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf .venv .venv-* dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
