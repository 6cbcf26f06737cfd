#!/usr/bin/env bash
# Runs every example in turn; each must end with exit code 0, within two minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob

examples=(examples/*.ts)
if ((${#examples[@]} == 0)); then
  echo "there are no examples" >&2
  exit 1
fi

output=$(mktemp)
trap 'rm -f "$output"' EXIT
failed=()
for example in "${examples[@]}"; do
  echo "── $example"
  started=$SECONDS
  EXAMPLE_SECONDS=3 timeout --kill-after=10 120 node_modules/.bin/tsx "$example" </dev/null | tee "$output" || failed+=("$example")
  # What a newcomer runs first fits into a terminal, the host's code included.
  if [[ $example == examples/first-flow.ts ]] && (($(wc -l <"$output") > 40)); then failed+=("$example: over 40 lines"); fi
  echo "── $example: $((SECONDS - started)) s"
done

echo "examples: $((${#examples[@]} - ${#failed[@]})) passed, ${#failed[@]} failed"
if ((${#failed[@]} > 0)); then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
