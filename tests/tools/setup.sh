#!/usr/bin/env bash
# Debian packages, the virtual environment of the checks, the collection's place on the search path.
# Quick when nothing changed.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

missing=()
while read -r command package; do
  case $command in '' | '#'*) continue ;; esac
  command -v "$command" >/dev/null 2>&1 || missing+=("$package")
done <"$tools/debian-packages.txt"
if ! [ -x "$venv/bin/python" ] && ! best_python >/dev/null; then missing+=(python3 python3-venv); fi

if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null 2>&1 ||
    die "this machine lacks (Debian's package names): ${missing[*]}; there is no apt-get here, so install them and run again"
  [ "$(id -u)" = 0 ] || die "this machine lacks packages; run: sudo apt-get update && sudo apt-get install -y ${missing[*]}"
  mkdir -p "$logs"
  say "installing ${missing[*]}"
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$logs/apt.log" 2>&1; then
    tail -n 5 "$logs/apt.log" >&2
    die "apt-get failed: see $logs/apt.log"
  fi
  best_python >/dev/null ||
    die "no Python 3.11 or newer here that can make a virtual environment; install one (Debian 12 and 13 have it as python3 and python3-venv)"
fi

ensure_venv "$venv" "$root/tests/requirements.txt" best_python

# The live tree under the name Ansible looks for: an edit is used at once.
place=$collections/ansible_collections/vvtv/runbook
if [ "$(readlink "$place" 2>/dev/null)" != "$root" ]; then
  mkdir -p "$(dirname "$place")"
  ln -sfn "$root" "$place"
fi
