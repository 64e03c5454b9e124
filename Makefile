# make book   the executed book, in _build/html
# make test   everything that proves it
# make serve  the built book on a local address
PYTHON ?= python3
PROFILE ?= cpu
PORT ?= 8000
BIN := .venv/bin
NBVAL := -p nbval --nbval-lax --nbval-current-env --nbval-cell-timeout 300 --nbval-sanitize-with tests/sanitize.cfg

.PHONY: book test serve clean

book: .venv/ready
	@$(BIN)/python -m lib build --profile $(PROFILE)

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/pytest -o addopts= $(NBVAL) $(wildcard book/*.ipynb)
	$(BIN)/python -m lib build --profile $(PROFILE)
	$(BIN)/pytest --ignore=tests/book
	$(BIN)/pytest tests/book --numprocesses auto --maxprocesses 4

serve:
	@test -e _build/html/index.html || { echo "There is no book yet: run 'make book' first." >&2; exit 1; }
	@$(PYTHON) -c 'import socket; socket.create_server(("127.0.0.1", $(PORT))).close()' 2>/dev/null || { echo "Port $(PORT) is not free: name another with PORT=..." >&2; exit 1; }
	@echo "http://127.0.0.1:$(PORT)/ (Ctrl-C ends it)"
	@$(PYTHON) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

clean:
	rm -rf _build

# The stamp comes last, so an interrupted set-up is begun again; changed pins are installed into the environment there is.
.venv/ready: requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON): install Python 3.11 or newer, or name it with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("The book needs Python 3.11 or newer, and $(PYTHON) is %d.%d: name a newer one with PYTHON=..." % sys.version_info[:2])'
	@test -e $@ || $(PYTHON) -m venv --clear .venv
	@rm -f $@
	@echo "Setting up .venv: about two minutes, and 2 GB of disk."
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.txt --editable .
	@touch $@
