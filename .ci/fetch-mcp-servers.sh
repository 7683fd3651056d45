#!/bin/sh
# Installs the reference MCP servers (npm, `@modelcontextprotocol/server-*`, MIT or Apache-2.0) that the tests speak
# with into the build folder. Needs npm and the npm registry. Does nothing when they are there already.
set -eu
version=2026.8.31
folder=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)/target/tools/mcp-servers
scope=node_modules/@modelcontextprotocol
missing=''
for name in server-everything server-filesystem server-memory; do
  grep -qsF "\"version\": \"$version\"" "$folder/$scope/$name/package.json" || missing="$missing @modelcontextprotocol/$name@$version"
done
[ -n "$missing" ] || exit 0
mkdir -p "$folder"
# shellcheck disable=SC2086 # one word for each package
npm install --prefix "$folder" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error \
  $missing >&2
