#!/bin/sh
# Installs the stock executor (`codex exec-server`, Apache-2.0) into the build folder, for the tests that drive it.
# Needs npm and the npm registry; about 170 MB. Does nothing when it is there already.
set -eu
version=0.169.0
folder=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)/target/tools/codex
case $(uname -sm) in
  'Linux x86_64') platform=linux-x64 ;;
  'Linux aarch64') platform=linux-arm64 ;;
  *) echo "fetch-codex: there is no stock executor for $(uname -sm)" >&2; exit 1 ;;
esac
if [ -x "$folder/bin/codex" ] && "$folder/bin/codex" --version | grep -qF "$version"; then
  exit 0
fi
mkdir -p "$folder"
npm install --prefix "$folder" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error \
  "codex-stock@npm:@openai/codex@$version-$platform" >&2
mkdir -p "$folder/bin"
cd "$folder/bin"
ln -sfn ../node_modules/codex-stock/vendor/*/bin/codex codex
"$folder/bin/codex" --version >&2
