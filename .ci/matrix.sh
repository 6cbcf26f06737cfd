#!/usr/bin/env bash
# Runs the tests, and the built package in ESM and CommonJS, on each Node major. Needs a built dist: `npm run matrix`.
#   NODE_MAJORS  which ones; default "20 22 24 26"
#   NODES_DIR    where their binaries are kept; default a folder in the system's temporary one
#   TESTS        arguments of vitest, such as "--project quick"; default all tests
set -euo pipefail
cd "$(dirname "$0")/.."

majors=${NODE_MAJORS:-20 22 24 26}
nodes=${NODES_DIR:-${TMPDIR:-/tmp}/poundlock-nodes}
platform=$(node -p '`${process.platform === "win32" ? "win" : process.platform}-${process.arch}`')

# The binary comes as an npm package without a script to run.
install() {
  local folder=$1 major=$2
  [ -x "$folder/node_modules/node-bin/bin/node" ] && return
  npm install --prefix "$folder" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error \
    "node-bin@npm:node-$platform@$major"
}

passes() {
  local bin=$1
  PATH="$bin:$PATH" "$bin/node" node_modules/vitest/vitest.mjs run --reporter=dot ${TESTS:-} \
    && "$bin/node" test/package/consumer.mjs \
    && "$bin/node" test/package/consumer.cjs
}

passed=0
failed=()
for major in $majors; do
  folder=$nodes/$major
  mkdir -p "$folder"
  if install "$folder" "$major" && echo "── Node $("$folder/node_modules/node-bin/bin/node" --version)" \
    && passes "$folder/node_modules/node-bin/bin" </dev/null; then
    passed=$((passed + 1))
  else
    failed+=("Node $major")
  fi
done

echo "matrix: $passed passed, ${#failed[@]} failed"
if ((${#failed[@]} > 0)); then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
