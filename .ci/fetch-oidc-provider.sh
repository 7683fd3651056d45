#!/bin/sh
# Installs the OpenID provider (npm, `oidc-provider`, MIT) that the tests sign in at into the build folder.
# Needs npm and the npm registry. Does nothing when it is there already.
set -eu
version=8.8.1
folder=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)/target/tools/oidc-provider
if grep -qsF "\"version\": \"$version\"" "$folder/node_modules/oidc-provider/package.json"; then
  exit 0
fi
mkdir -p "$folder"
npm install --prefix "$folder" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error \
  "oidc-provider@$version" >&2
