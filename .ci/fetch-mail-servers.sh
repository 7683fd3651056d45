#!/bin/sh
# Installs the mail server and the calendar server that the tests speak to (PyPI: `aiosmtpd`, Apache-2.0; `radicale`,
# GPL-3.0, started as a process and linked into nothing) into the build folder. Needs python3 with venv, and PyPI. Does
# nothing when they are there already. The IMAP server, Dovecot, comes from the system.
set -eu
wanted='aiosmtpd==1.4.6 radicale==3.5.4'
folder=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)/target/tools/mail-servers
if [ "$(cat "$folder/installed" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi
rm -rf "$folder"
mkdir -p "$folder"
python3 -m venv "$folder"
# shellcheck disable=SC2086 # two words are meant
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check $wanted >&2
printf '%s\n' "$wanted" >"$folder/installed"
