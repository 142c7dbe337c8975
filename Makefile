# make demo: enrol singers, identify held-back songs. make test: everything CI runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test bench reproduce clean

install: $(VENV)/installed

# Compiled on all cores, where pip would take one; not every file that packages bring compiles.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --editable ".[all,bench,test]"
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib whosings || true
	touch $@

demo: install
	$(BIN)/whosings demo

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal --slow

bench: install
	for script in segments nt_xent embedding training_step augment gallery annotations activity opinion prepare separation choir heads; do $(BIN)/python benchmarks/$$script.py || exit 1; done

# Every number of docs/results.md. SPEECH (LibriSpeech) and SINGING (RAVDESS song) name folders speaker/recording; without
# them only what needs no data is done. SoundFont and `.[recipe]` as in recipes/default_encoder.py.
reproduce: install
	recipes/reproduce.sh runs/reproduction
ifneq ($(and $(SPEECH),$(SINGING)),)
	$(BIN)/pip install --quiet --editable ".[recipe]"
	$(BIN)/python recipes/default_encoder.py bank --out runs/default --speech $(SPEECH) --parametric 500 --bands 850
	$(BIN)/python recipes/voice_mask.py --out runs/default
	$(BIN)/python recipes/ablations.py --bank runs/default --out runs/ablations
	$(BIN)/python recipes/default_encoder.py train --out runs/default --bf16
	$(BIN)/python recipes/default_encoder.py export --out runs/default --speech $(SPEECH) --to runs/default/made
	$(BIN)/python benchmarks/real_singing.py --singing $(SINGING) --clones runs/clones.npz \
		--encoders default runs/default/made resemblyzer runs/ablations/*
endif

clean:
	rm -rf $(VENV) demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache
