# For ./test to source: a Chromium for the browser tests, its path in $CHROMIUM.
# What can't be had is said in one line; the browser tests then fail, and the others run.

find_chromium() {
  local found
  for found in "${CHROMIUM:-}" "$(type -P chromium || true)" .venv/chromium/chromium; do
    if [ -n "$found" ] && [ -x "$found" ]; then
      CHROMIUM=$(readlink -f "$found")
      export CHROMIUM
      return
    fi
  done
  echo "Installing Chromium for the browser tests (once) …"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && _chromium_apt && found=$(type -P chromium); then
    export CHROMIUM=$found
  elif command -v npm >/dev/null && _chromium_npm; then
    export CHROMIUM=$PWD/.venv/chromium/chromium
  else
    unset CHROMIUM
    echo "No Chromium: install one (apt-get install chromium) or set CHROMIUM to its path. The browser tests will fail." >&2
  fi
}

_chromium_apt() {
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; } >/dev/null 2>&1
}

# The npm package holds the browser itself, packed; it runs without root.
_chromium_npm() {
  mkdir -p .venv/chromium
  (
    cd .venv/chromium
    npm install --no-save --no-audit --no-fund --ignore-scripts @sparticuz/chromium@153.0.0 &&
      TMPDIR=$PWD node --input-type=module --eval \
        "import chromium from '@sparticuz/chromium'; console.log(await chromium.executablePath());"
  ) >/dev/null 2>&1 && [ -x .venv/chromium/chromium ]
}
