#!/usr/bin/env bash
# The benchmark of the backup engine beside the shell runbook's pipelines. By environment or make's command line:
# SIZE (512M), ROUNDS (5), JOURNAL (both; wal, delete), PROFILE=1 (only where a backup's time goes), KEEP=1 (the
# big files stay). Arguments go to it.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
cd "$root"
export PYTHONPATH=$collections PATH=$venv/bin:$PATH

options=(--size "${SIZE:-512M}" --rounds "${ROUNDS:-5}" --journal "${JOURNAL:-both}")
[ "${PROFILE:-0}" = 0 ] || options+=(--profile)
[ "${KEEP:-0}" = 0 ] || options+=(--keep)
exec "$venv/bin/python" -m tests.bench "${options[@]}" "$@"
