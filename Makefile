# make demo: enrol singers, identify held-back songs. make test: everything CI runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test types pytest long browser mutation bench docs reproduce clean

install: $(VENV)/installed

# The pip that comes with Python 3.11 takes minutes to decide on versions. Compiled on all cores, where pip would take
# one; without what is seldom or never imported, a third of all; and not every file that packages bring compiles.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --no-compile --editable ".[all,bench,docs,test]"
	$(BIN)/python -m compileall -qq -j 0 -x '/(tests?|testing|models|rllib|tune|serve)/' $(VENV)/lib whosings || true
	touch $@

demo: install
	$(BIN)/whosings demo

test: install browser
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) --no-print-directory --jobs 2 types pytest

# Both at once: types take one core for a minute.
types: install
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases beetsplug

pytest: install
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal --slow

# Tests that take minutes together, and change their mind seldom: recipes, the whole way from a choir to an answer.
long: install
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal --slow --long -m long

# A Chromium for the tests of the page: one that is there, Playwright's, or the system's package where we are root.
# Without any, those tests are skipped, and say so.
browser: install
	@$(BIN)/python tests/service/browser.py --install

# Small changes to the code on which answers rest, one by one, and whether its fast tests notice (pyproject.toml says
# which); hours on few cores, and it goes on where it stopped. Not part of CI, nor of the test extra.
mutation: install
	$(BIN)/pip install --quiet mutmut==3.8.1
	OMP_NUM_THREADS=1 $(BIN)/mutmut run
	$(BIN)/mutmut results

# The site: guide, API reference, notebooks.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: install
	for script in service segments nt_xent embedding training_step distillation_step augment gallery annotations activity opinion prepare separation choir heads; do $(BIN)/python benchmarks/$$script.py || exit 1; done

# The paper's experiment, and the figures of the encoders that ship: SINGING names a folder singer/recording with RAVDESS'
# names. How the encoders are made: recipes/voice_bank.py.
reproduce: install
	recipes/reproduce.sh runs/reproduction
ifneq ($(SINGING),)
	$(BIN)/python benchmarks/real_singing.py --singing $(SINGING) --clones runs/clones.npz
	$(BIN)/python benchmarks/real_calibration.py --singing $(SINGING)
endif

clean:
	rm -rf $(VENV) demo build site mutants *.egg-info .pytest_cache .mypy_cache .ruff_cache
