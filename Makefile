# Commands of this repository. Each recipe runs in the environment of PYTHON: `make check PYTHON=/other/bin/python`.

PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)
SOURCES := $(wildcard src tests benchmarks action manual)

.PHONY: help check test format bench docs doors pictures

# List these commands.
help:
	@awk '/^# /{text=substr($$0,3)} /^[a-z]+:/{sub(":.*","",$$1); printf "make %-8s %s\n", $$1, text}' Makefile

# Everything that reads the code without running it: format, lint, types, layers.
check:
	$(PYTHON) -m ruff format --check $(SOURCES)
	$(PYTHON) -m ruff check $(SOURCES)
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(PYTHON) -m pyright --pythonpath $$(command -v $(PYTHON))
	$(PYTHON) -c 'from importlinter.cli import lint_imports_command as main; main()' --no-logo

# All tests, in two processes. One test: `.venv/bin/python -m pytest tests/runtime/test_budget.py`.
test:
	$(PYTHON) -m pytest -n 2

# Bring the code into the form that `check` wants, and mend what can be mended without thought.
format:
	$(PYTHON) -m ruff format $(SOURCES)
	$(PYTHON) -m ruff check --fix $(SOURCES)

# The manual, as pages in build/site. `python -m mkdocs serve` shows it while you write.
docs:
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet

# The pictures of docs/images anew, of simulated runs, in a minute (Chromium with its driver, extras `tui` and `web`).
pictures:
	$(PYTHON) -m benchmarks.pictures

# Build the package and go in by each door from an empty folder: uvx, pipx, Python, pytest, MCP (extra `release`).
doors:
	$(PYTHON) benchmarks/doors.py

# What a run costs beside its floors: the tables of docs/performance.md, in about two minutes.
bench:
	$(PYTHON) benchmarks/fanout.py
	$(PYTHON) benchmarks/suite.py
