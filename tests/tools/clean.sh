#!/usr/bin/env bash
# Stop the simulated nodes that still run below build/, then remove everything that was made.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

nodes=()
if [ -d "$build" ]; then
  while IFS= read -r folder; do nodes+=("${folder%/runtime/sim}"); done \
    < <(find "$build" -type d -path '*/runtime/sim' -prune)
fi
if [ ${#nodes[@]} -gt 0 ]; then
  [ -x "$venv/bin/python" ] || die "nodes may run below $build but .venv is missing; run: make setup clean"
  PYTHONPATH=$collections "$venv/bin/python" -m tests.simulator down "${nodes[@]}"
fi
if [ -d "$build/fleet" ] && [ -x "$venv/bin/python" ]; then
  PYTHONPATH=$collections "$venv/bin/python" -m tests.fleet down --all
fi
rm -rf "$build" "$venv"
