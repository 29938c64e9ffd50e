# For ./run, ./test and .ci/run to source, in the repository's folder: the Python environment .venv, from a lock.
# Two at once are safe, and a warm start costs a few milliseconds.

# environment LOCK: .venv holds what LOCK names, in those versions and with those hashes; nothing is taken out of it.
environment() {
  local lock=$1 mutex stamp wanted
  unset PYTHONDONTWRITEBYTECODE # where an image sets it, each process would compile Django anew: a second at every start
  stamp=.venv/.installed-$lock
  exec {mutex}<requirements-uv.txt
  flock "$mutex"
  wanted=$(readlink -f .venv/bin/python || true; sha256sum "$lock" requirements-uv.txt)
  if [ ! -x .venv/bin/python ] || [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "Installing what $lock names into .venv (once) …"
    _environment_python
    _environment_install "$lock"
    { readlink -f .venv/bin/python; sha256sum "$lock" requirements-uv.txt; } >"$stamp"
  fi
  exec {mutex}<&-
}

_environment_python() {
  if ! .venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      echo "This needs Python 3.11 or newer as python3 (on Debian: apt-get install python3)." >&2
      exit 3
    fi
    if ! python3 -m venv --clear .venv; then
      echo "python3 can't make an environment here (on Debian: apt-get install python3-venv)." >&2
      exit 3
    fi
  fi
}

# uv where it runs; else pip, which takes ten times as long and heeds pip's own settings (a mirror, say).
_environment_install() {
  local pip=(.venv/bin/python -m pip --disable-pip-version-check --quiet)
  if "${pip[@]}" install --require-hashes --only-binary :all: -r requirements-uv.txt 2>/dev/null &&
    .venv/bin/python -m uv --quiet pip install --python .venv/bin/python --require-hashes -r "$1"; then
    return
  fi
  echo "uv can't do it here; pip takes a minute or two …"
  "${pip[@]}" install --require-hashes -r "$1"
}
