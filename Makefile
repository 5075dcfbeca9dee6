# make setup | demo | demo-train | test | test-slow | test-web | test-runtimes | lint | bench | bench-ours; demo, the tests and bench do their own set-up.
#
#   make demo PHOTO=path/to/any.jpg    the same for a photo of your own
#   make demo PHOTOS=path/to/photos    or for all in a folder

PYTHON ?= $(firstword $(foreach name,python3.11 python3.10 python3 python,$(if $(shell command -v $(name)),$(name))))
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/installed
PEERS := .venv-peers
PHOTO ?=
PHOTOS ?=

.PHONY: setup demo demo-train test test-slow test-web test-runtimes lint bench bench-ours clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml requirements.lock
	@if $(or $(PYTHON),false) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null; then \
		rm -rf $(VENV); \
		$(PYTHON) -m venv $(VENV) >/dev/null \
			|| { echo "error: $(PYTHON) cannot make a virtual environment: install its venv module (Debian: python3-venv)" >&2; exit 1; }; \
	elif command -v uv >/dev/null; then \
		rm -rf $(VENV); \
		uv venv --quiet --seed --python 3.11 $(VENV); \
	else \
		echo "error: Python 3.10 or 3.11 is needed, found $$($(or $(PYTHON),echo no python) --version 2>&1 | tail -n 1): install uv, which downloads one, or install one and run make PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi
	@echo "installing the pinned packages into $(VENV), a few minutes"
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c requirements.lock setuptools wheel
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c requirements.lock --no-build-isolation -e '.[dev]'
	@touch $@

demo: $(INSTALLED)
	@$(RUN) -m examples.demo $(if $(PHOTO)$(PHOTOS),--photos $(if $(PHOTO),'$(PHOTO)') $(if $(PHOTOS),'$(PHOTOS)'))

demo-train: $(INSTALLED)
	@$(RUN) -m examples.demo --train

# SlipCover, because coverage.py takes a third more time on Python before 3.12.
# A test that hangs or ends its process ends the run; xdist would wait for ever.
BOUNDED := --max-worker-restart 0 -o faulthandler_timeout=900 -o faulthandler_exit_on_timeout=true
test: $(INSTALLED)
	@$(RUN) -m slipcover -m pytest -m 'not slow' -n 2 $(BOUNDED) --dist loadfile --no-loadscope-reorder

test-slow: $(INSTALLED)
	@$(RUN) -m pytest -m 'slow and not web and not runtimes'

# What the page runs on, and the driver of the browser for its tests, from npm.
web/node_modules/installed: web/package.json web/package-lock.json
	@command -v npm >/dev/null || { echo "error: npm is needed: install Node.js 20 or later (Debian: nodejs, npm)" >&2; exit 1; }
	@cd web && npm ci --silent --no-audit --no-fund
	@touch $@

# The page in Chromium (Debian: chromium).
test-web: $(INSTALLED) web/node_modules/installed
	@$(RUN) -m pytest -m web

# Exports in other versions of TensorFlow and LiteRT, each in an environment of its own, several gigabytes, and in
# Chromium.
test-runtimes: $(INSTALLED) web/node_modules/installed
	@$(RUN) -m pytest -m runtimes

lint: $(INSTALLED)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

# The environment of the peers that benchmarks.compare measures; nothing else needs it.
$(PEERS)/installed: benchmarks/peers/requirements.txt
	@rm -rf $(PEERS)
	@$(or $(PYTHON),false) -m venv $(PEERS)
	@echo "installing what is compared with into $(PEERS), several gigabytes"
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

DEMO := out/demo-train
COMPARED := out/compare
TRAINED := --detector $(DEMO)/detector --keypoints $(DEMO)/keypoints
photos_of = $$(awk '$$2 == "$(1)" {print "$(DEMO)/drawn/" $$1}' $(DEMO)/drawn/Eval/list_eval_partition.txt | head -n $(2))

$(DEMO)/evaluation/metrics.json: | $(INSTALLED)
	@$(RUN) -m examples.demo --train

# Further models to compare: the demo's networks in bfloat16 and int8, and an untrained `base`.
$(COMPARED)/models: $(DEMO)/evaluation/metrics.json
	@rm -rf $@ $@.partial
	@$(RUN) -m serving.export_saved_model $(TRAINED) --precision bfloat16 --out $@.partial/bfloat16
	@$(RUN) -m serving.export_tflite $(TRAINED) --precision int8 --photos $(call photos_of,train,100) --out $@.partial/int8
	@$(RUN) -m training.evaluate --data $(DEMO)/data --model $@.partial/bfloat16 --out $@.partial/bfloat16-test
	@$(RUN) -m training.evaluate --data $(DEMO)/data --tflite $@.partial/int8/cspn.tflite --out $@.partial/int8-test
	@$(RUN) -m benchmarks.untrained --preset base --out $@.partial/base
	@$(RUN) -m serving.export_saved_model --detector $@.partial/base/detector --keypoints $@.partial/base/keypoints --out $@.partial/base/cspn
	@mv $@.partial $@

bench: $(INSTALLED) $(PEERS)/installed $(COMPARED)/models
	@$(RUN) -m benchmarks.compare --out $(COMPARED) --photos $(call photos_of,test,16) \
		--ours mobile=$(DEMO)/models/cspn,$(DEMO)/phone/cspn.tflite --accuracy mobile=$(DEMO)/evaluation/metrics.json \
		--detector mobile=$(DEMO)/detector --keypoints mobile=$(DEMO)/keypoints \
		--ours mobile-bfloat16=$(COMPARED)/models/bfloat16 --accuracy mobile-bfloat16=$(COMPARED)/models/bfloat16-test/metrics.json \
		--ours mobile-int8=$(COMPARED)/models/int8/cspn.tflite --accuracy mobile-int8=$(COMPARED)/models/int8-test/metrics.json \
		--ours base=$(COMPARED)/models/base/cspn
	@$(MAKE) --no-print-directory bench-ours

bench-ours: $(INSTALLED) $(DEMO)/evaluation/metrics.json
	@$(RUN) -m benchmarks.served --model $(DEMO)/models/cspn --tflite $(DEMO)/phone/cspn.tflite
	@$(RUN) -m benchmarks.profile $(TRAINED) --photo $(call photos_of,test,1)
	@$(RUN) -m benchmarks.prepare --root $(DEMO)/drawn
	@$(RUN) -m benchmarks.input_pipelines --data $(DEMO)/data

clean:
	rm -rf $(VENV) $(PEERS) out build *.egg-info .pytest_cache .ruff_cache .hypothesis
