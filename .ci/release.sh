#!/usr/bin/env bash
# Makes a release ready: `npm run release -- minor`, or any other version that `npm version` takes. Needs a clean main
# and something under "Unreleased" in the changelog; runs all that CI runs; then writes the version and its date, commits
# and tags. It pushes and publishes nothing: the last lines say how to.
set -euo pipefail
cd "$(dirname "$0")/.."

bump=${1:-}
changelog=docs/changelog.md

fail() {
  echo "release: $1" >&2
  exit 1
}

[[ -n $bump ]] || fail "say which: npm run release -- patch | minor | major | VERSION"
[[ -z $(git status --porcelain) ]] || fail "the work tree is not clean"
[[ $(git branch --show-current) == main ]] || fail "releases are made on main"
unreleased=$(awk '/^## /{inside = /^## Unreleased/} inside && /^- /' "$changelog")
[[ -n $unreleased ]] || fail "nothing is unreleased in $changelog"

bash .ci/run
[[ -z $(git status --porcelain) ]] || fail "CI has changed files"

version=$(npm version "$bump" --no-git-tag-version)
[[ -z $(git tag --list "$version") ]] || { git checkout --quiet .; fail "$version is tagged already"; }
# What a process says of itself.
sed -i.bak "s/^export const version = .*/export const version = \"${version#v}\";/" src/model/worker-process.ts
rm src/model/worker-process.ts.bak
heading="## ${version#v}, $(date -u +%F)"
# What was unreleased gets the version, and an empty "Unreleased" goes above it.
sed -i.bak "s/^## Unreleased.*/## Unreleased\n\n$heading/" "$changelog"
rm "$changelog.bak"
npx prettier --check "$changelog" package.json src/model/worker-process.ts

git commit --quiet --all --message "release: $version"
git tag --annotate "$version" --message "$version"
echo "release: $version is committed and tagged. To publish it:"
echo "  git push --follow-tags && npm publish"
