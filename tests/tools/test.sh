#!/usr/bin/env bash
# Every check, the quick ones first; stops at the first that fails. The time of each comes last.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

# Of the scenarios each on one core here; make molecule has each on both.
export SCENARIOS_ON=${SCENARIOS_ON:-newest-default oldest-keys}
phases=(lint unit build integration demo fleet)
times=()
status=0
took() { times+=("$(printf '  %-12s %4d s' "$1" $((SECONDS - $2)))"); }

for phase in "${phases[@]}"; do
  start=$SECONDS
  "$tools/$phase.sh" || status=$?
  took "$phase" "$start"
  [ "$status" = 0 ] || break
done

# The scenarios wait most of the time, and what is left keeps a processor busy: side by side.
if [ "$status" = 0 ]; then
  start=$SECONDS
  mkdir -p "$logs"
  "$tools/molecule.sh" >"$logs/molecule.log" 2>&1 &
  "$tools/sanity.sh" || { phase=sanity && status=1; }
  took sanity "$start"
  wait "$!" || { phase=molecule && status=1; }
  cat "$logs/molecule.log"
  took molecule "$start"
fi

step "time"
printf '%s\n' "${times[@]}"
printf '  %-12s %4d s\n' "all" "$SECONDS"
[ "$status" = 0 ] || die "$phase failed; run it alone with: make $phase"
say "all checks passed"
