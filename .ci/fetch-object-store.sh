#!/bin/sh
# Installs the object store that the tests read documents from (npm, `s3rver`, MIT) into the build folder.
# Needs npm and the npm registry. Does nothing when it is there already.
set -eu
version=3.7.1
folder=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)/target/tools/object-store
if grep -qsF "\"version\": \"$version\"" "$folder/node_modules/s3rver/package.json"; then
  exit 0
fi
mkdir -p "$folder"
npm install --prefix "$folder" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error \
  "s3rver@$version" >&2
