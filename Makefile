# Two commands on a fresh machine: `make demo` and `make test`. Both set up .venv by themselves.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test picture lint setup setup-dev clean

demo: $(VENV)/.ready
	$(BIN)/posestream --demo --save out/demo.npz --save-video out/demo.mp4

test: $(VENV)/.ready-dev
	$(BIN)/python -m pytest

# the README's picture
picture: $(VENV)/.ready
	$(BIN)/posestream replay pipeline/demo.mp4 --save out/picture.npz --force
	QT_QPA_PLATFORM=offscreen $(BIN)/posestream view out/picture.npz --video pipeline/demo.mp4 \
	    --screenshot viewer/picture.png --at 1.6 --trails --size 1280x640

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/lint-imports

setup: $(VENV)/.ready
setup-dev: $(VENV)/.ready-dev

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[viewer]'
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[viewer,train,dev]'
	touch $@

clean:
	rm -rf $(VENV) out
