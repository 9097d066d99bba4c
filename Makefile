# The few commands that people type; everything else is CMake, ctest and pytest.
#
#   make demo      a real open suite under --dagz, from nothing
#   make check     format, lint and unit tests: under a minute
#   make test      all that has to be green
#   make soak      the same for hours: every interpreter, many seeds
#   make suites    real projects: the outcomes under --dagz against plain pytest
#   make bench     speed against plain pytest and xdist
#   make install   into the active virtual environment, or the Python that PYTHON names

PYTHON ?= $(if $(VIRTUAL_ENV),$(VIRTUAL_ENV)/bin/python,python3)
SETUP := tests/support/setup.sh

.PHONY: demo check test soak suites bench install clean

demo:
	@$(SETUP) programs python
	@tests/support/demo.sh

check:
	@$(SETUP) programs python lint
	@tests/support/check.sh

test:
	@$(SETUP) programs python lint shells interpreters
	@build/venv/bin/python tests/support/run.py test

soak:
	@$(SETUP) programs python lint shells interpreters fuzz
	@build/venv/bin/python tests/support/run.py soak

suites:
	@$(SETUP) programs python
	@build/venv/bin/python tests/support/run.py suites

bench:
	@$(SETUP) programs python
	@build/venv/bin/python tests/support/run.py bench

install:
	@PYTHON= $(SETUP) programs
	$(PYTHON) -m pip install .

clean:
	rm -rf build
