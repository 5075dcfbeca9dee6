# make setup | demo | test | test-slow | lint | bench | bench-ours; demo, the tests and bench do their own set-up.
#
#   make demo PHOTO=path/to/any.jpg    the same for a photo of your own

PYTHON ?= $(firstword $(foreach name,python3.11 python3.10 python3 python,$(if $(shell command -v $(name)),$(name))))
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/installed
PEERS := .venv-peers
PHOTO ?=

.PHONY: setup demo test test-slow lint bench bench-ours clean

setup: $(INSTALLED)

$(INSTALLED): setup.py pyproject.toml requirements.lock
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null \
		|| { echo "error: Python 3.10 or 3.11 is needed, found $$($(or $(PYTHON),echo no python) --version 2>&1 | tail -n 1): install one and run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) >/dev/null \
		|| { echo "error: $(PYTHON) cannot make a virtual environment: install its venv module (Debian: python3-venv)" >&2; exit 1; }
	@echo "installing the pinned packages into $(VENV), a few minutes"
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c requirements.lock setuptools wheel
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c requirements.lock --no-build-isolation -e '.[dev]'
	@touch $@

demo: $(INSTALLED)
	@$(RUN) -m serving.demo $(if $(PHOTO),--photo '$(PHOTO)')

test: $(INSTALLED)
	@$(RUN) -m pytest -m 'not slow' -n 2 --dist loadfile

test-slow: $(INSTALLED)
	@$(RUN) -m pytest -m slow

lint: $(INSTALLED)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

# What others would use instead, in an environment of its own; it is measured against, and nothing else needs it.
$(PEERS)/installed: serving/comparison/peers/requirements.txt
	@rm -rf $(PEERS)
	@$(or $(PYTHON),false) -m venv $(PEERS)
	@echo "installing what is compared with into $(PEERS), several gigabytes"
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

COMPARE = $(RUN) -m serving.compare --model out/demo/models/cspn --tflite out/demo/phone/cspn.tflite \
	--detector out/demo/detector --keypoints out/demo/keypoints --accuracy cspn=out/demo/metrics.json \
	--photos $$(awk '$$2 == "test" {print "out/demo/fld/" $$1}' out/demo/fld/Eval/list_eval_partition.txt 2>/dev/null | head -n 16)

bench: $(INSTALLED) $(PEERS)/installed
	@$(COMPARE) --out out/compare
	@$(MAKE) --no-print-directory bench-ours

bench-ours: $(INSTALLED)
	@$(RUN) -m serving.benchmark --model out/demo/models/cspn --tflite out/demo/phone/cspn.tflite
	@$(RUN) -m training.benchmark_prepare --root out/demo/fld
	@$(RUN) -m training.benchmark_data --data out/demo/data

clean:
	rm -rf $(VENV) $(PEERS) out build *.egg-info .pytest_cache .ruff_cache .hypothesis
