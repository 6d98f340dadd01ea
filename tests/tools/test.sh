#!/usr/bin/env bash
# Every check, the quick ones first; stops at the first that fails. The time of each comes last.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

# Of the scenarios each on one core here; make molecule has each on both.
export SCENARIOS_ON=${SCENARIOS_ON:-newest-default oldest-keys}
phases=(lint unit build integration demo fleet molecule sanity)
times=()
status=0
for phase in "${phases[@]}"; do
  start=$SECONDS
  "$tools/$phase.sh" || status=$?
  times+=("$(printf '  %-12s %4d s' "$phase" $((SECONDS - start)))")
  [ "$status" = 0 ] || break
done

step "time"
printf '%s\n' "${times[@]}"
printf '  %-12s %4d s\n' "all" "$SECONDS"
[ "$status" = 0 ] || die "$phase failed; run it alone with: make $phase"
say "all checks passed"
