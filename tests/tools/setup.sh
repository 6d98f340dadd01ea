#!/usr/bin/env bash
# Debian packages, the virtual environment of the checks, the collection's place on the search path.
# Quick when nothing changed.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

install_packages "$tools/debian-packages.txt"
best_python >/dev/null || [ -x "$venv/bin/python" ] || install_named python3 python3-venv
best_python >/dev/null || [ -x "$venv/bin/python" ] ||
  die "no Python 3.11 or newer here that can make a virtual environment; install one (Debian 12 and 13 have it as python3 and python3-venv)"

ensure_venv "$venv" "$root/tests/requirements.txt" best_python

# The live tree under the name Ansible looks for: an edit is used at once.
place=$collections/ansible_collections/vvtv/runbook
if [ "$(readlink "$place" 2>/dev/null)" != "$root" ]; then
  mkdir -p "$(dirname "$place")"
  ln -sfn "$root" "$place"
fi
