# Everything runs in .venv; each target sets it up first, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
READY := .venv/.installed
PEERS := .venv/.peers
DOCS := .venv/.docs
RAY := .venv/.ray
READERS := .venv/.readers
KSERVE := .venv-kserve/.installed

.PHONY: demo install test tests test-slow test-pythons readers lint types bench diagnosis reference docs screenshots constraints clean

demo: $(READY)
	$(BIN)/tfrobust demo

install: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,hf,mlflow,onnx,remote,serving,wandb]"
	touch $(READY)

# Lint, types and the docs run beside the tests: each prints what it found in one piece, and whatever
# failed is named once more at the end.
test: $(READY) $(DOCS)
	$(MAKE) --no-print-directory --jobs=4 --keep-going lint types docs tests

tests: $(READY)
	$(BIN)/python -m pytest

test-slow: $(RAY)
	$(BIN)/python -m pytest -m slow

# With the other Pythons that pyproject.toml declares, where they are installed; each has a .venv-3.N.
test-pythons: $(READY)
	.ci/pythons

# Programs that share no code with tfrobust read its exports: OpenVINO, LiteRT, and KServe's Python
# model server, in a virtual environment of its own.
readers: $(READERS) $(KSERVE)
	$(BIN)/python -m pytest -n 0 -m "slow or not slow" tests/core/serving/test_readers.py tests/test_serving_page.py

$(READERS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,onnx,readers,remote,serving]"
	touch $(READERS)

$(KSERVE):
	test -x .venv-kserve/bin/python || $(PYTHON) -m venv .venv-kserve
	.venv-kserve/bin/python -m pip install --quiet --disable-pip-version-check kserve==0.21.0 tensorflow==2.21.0
	touch $(KSERVE)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

# Several workers and machines; only slow tests and the bench need it.
$(RAY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,remote,ray]"
	touch $(RAY)

# Foolbox, ART and PyTorch: what the attacks are measured beside; nothing else needs them.
$(PEERS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,remote,bench]"
	touch $(PEERS)

bench: $(PEERS) $(RAY)
	$(BIN)/python -m benchmarks.run

# Networks of the zoo × checks, with five seeds: the table of docs/diagnosis.md.
diagnosis: $(READY)
	$(BIN)/python -m benchmarks.diagnosis

# The curves against queries stand beside the peers' attacks, which are run.
reference: $(PEERS)
	$(BIN)/python -m benchmarks.exact
	$(BIN)/python -m benchmarks.optimality
	$(BIN)/python -m benchmarks.queries
	$(BIN)/python -m benchmarks.reference

# The site generator; nothing else needs it. The site is build/site/index.html.
$(DOCS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,remote,docs]"
	touch $(DOCS)

docs: $(DOCS)
	$(BIN)/python docs/site/stage.py
	$(BIN)/zensical build --strict --config-file mkdocs.yml

# The pictures of README and docs, from a small run in headless Chromium; the run is made once.
screenshots: $(READY)
	$(BIN)/python docs/site/screenshots.py

constraints: $(PEERS) $(DOCS) $(RAY) $(READERS) $(READERS)
	{ echo "# The versions everything was tested with. Renew: make constraints"; \
	  $(BIN)/python -m pip freeze --exclude-editable --exclude tfrobust | sed 's/+cpu$$//'; } \
	  > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf .venv .venv-* build dist .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
