#!/bin/sh
# Installs the foreign programs that tests speak to into target/tools: usage: fetch-tools.sh [NAME...], without a name
# all of them. Needs npm with its registry, and for `mail-servers` python3 with venv and PyPI. What is there already in
# the version named here stays. They are started as processes; nothing of them is linked or shipped.
set -eu
tools=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)/target/tools

# packages FOLDER PACKAGE...: with npm
packages() {
  folder=$tools/$1; shift
  is_installed "$folder" "$*" && return
  npm install --prefix "$folder" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error \
    "$@" >&2
  mark "$folder" "$*"
}

is_installed() { [ "$(cat "$1/installed" 2>/dev/null)" = "$2" ] || { rm -rf "$1"; mkdir -p "$1"; return 1; }; }
mark() { printf '%s\n' "$2" >"$1/installed"; }

# The stock executor, `codex exec-server` (Apache-2.0, about 170 MB).
codex() {
  case $(uname -sm) in
    'Linux x86_64') platform=linux-x64 ;;
    'Linux aarch64') platform=linux-arm64 ;;
    *) echo "fetch-tools: there is no stock executor for $(uname -sm)" >&2; exit 1 ;;
  esac
  packages codex "codex-stock@npm:@openai/codex@0.169.0-$platform"
  mkdir -p "$tools/codex/bin"
  (cd "$tools/codex/bin" && ln -sfn ../node_modules/codex-stock/vendor/*/bin/codex codex)
}

# The foreign identity provider (MIT).
oidc_provider() { packages oidc-provider oidc-provider@8.8.1; }

# The reference servers of MCP (MIT or Apache-2.0).
mcp_servers() {
  scope=@modelcontextprotocol version=2026.8.31
  packages mcp-servers "$scope/server-everything@$version" "$scope/server-filesystem@$version" \
    "$scope/server-memory@$version"
}

# A store that speaks S3 (MIT).
object_store() { packages object-store s3rver@3.7.1; }

# SMTP (`aiosmtpd`, Apache-2.0) and calendars (`radicale`, GPL-3.0). The IMAP server, Dovecot, comes from the system.
mail_servers() {
  wanted='aiosmtpd==1.4.6 radicale==3.5.4' folder=$tools/mail-servers
  is_installed "$folder" "$wanted" && return
  python3 -m venv "$folder"
  # shellcheck disable=SC2086 # two words are meant
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check $wanted >&2
  mark "$folder" "$wanted"
}

[ $# -gt 0 ] || set -- codex oidc-provider mcp-servers object-store mail-servers
for name in "$@"; do
  case $name in
    codex) codex ;;
    oidc-provider) oidc_provider ;;
    mcp-servers) mcp_servers ;;
    object-store) object_store ;;
    mail-servers) mail_servers ;;
    *) echo "fetch-tools: no tool is called $name" >&2; exit 2 ;;
  esac
done
