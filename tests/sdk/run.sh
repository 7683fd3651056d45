#!/usr/bin/env bash
# Drives the built binary with the official SDK. Installs the SDK into target/tools/sdk.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv="$PWD/target/tools/sdk"
wanted=$(sha256sum tests/sdk/requirements.txt | cut -d' ' -f1)
if [ ! -f "$venv/$wanted" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/sdk/requirements.txt
  touch "$venv/$wanted"
fi
[ -x target/debug/bailiwick ] || cargo build --locked --workspace --all-targets
exec "$venv/bin/python" -m pytest -q -p no:cacheprovider tests/sdk "$@"
