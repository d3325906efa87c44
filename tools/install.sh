#!/bin/sh
# Makes .venv hold what a lock file pins, and the project itself, editable. Usage: tools/install.sh LOCK
# Plain pip, every hash checked, nothing resolved. PYTHON names the interpreter; without it one is looked for.
set -eu
lock=$1

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "No Python 3.11 or newer found (tried: ${PYTHON:-python3, python3.13, python3.12, python3.11, python})." >&2
    echo "Install one, or name it: make PYTHON=/path/to/python3 …" >&2
    exit 1
}

if ! { [ -x .venv/bin/python ] && new_enough .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; }; then
    python=$(find_python)
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv || {
        echo "This Python cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2
        exit 1
    }
fi

echo "Installing $lock into .venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
