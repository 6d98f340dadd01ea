#!/usr/bin/env bash
# Every check, the quick ones first; stops at the first that fails. The time of each comes last.
# Sanity needs nobody's nodes: it runs beside the others, on what they leave of the processors,
# and its time is what was left of it then.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

# Of the scenarios each on one core here; make molecule has each on both.
export SCENARIOS_ON=${SCENARIOS_ON:-newest-default oldest-keys}
phases=(lint unit build integration demo fleet molecule)
times=()
status=0
run() { # PHASE COMMAND...
  local start=$SECONDS
  phase=$1
  shift
  "$@" || status=$?
  times+=("$(printf '  %-12s %4d s' "$phase" $((SECONDS - start)))")
  return "$status"
}

mkdir -p "$logs"
set -m # a process group of its own; a session of its own would get as much of the processors as all others
nice -n 19 "$tools/sanity.sh" >"$logs/sanity.log" 2>&1 </dev/null &
sanity=$!
set +m
# Nothing goes on when this run is over or interrupted.
trap 'kill -- "-$sanity" 2>/dev/null || true' EXIT

for name in "${phases[@]}"; do run "$name" "$tools/$name.sh" || break; done
if [ "$status" = 0 ]; then
  run sanity wait "$sanity" || true
  cat "$logs/sanity.log"
fi

step "time"
printf '%s\n' "${times[@]}"
printf '  %-12s %4d s\n' "all" "$SECONDS"
[ "$status" = 0 ] || die "$phase failed; run it alone with: make $phase"
say "all checks passed"
