#!/usr/bin/env bash
# Every check, the quick ones first; stops at the first that fails. The time of each comes last.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

# Of the scenarios each on one core here; make molecule has each on both.
export SCENARIOS_ON=${SCENARIOS_ON:-oldest-default newest-keys}
# The engine's unit tests on the oldest Python of a node only: on others it runs in what comes after. make unit has both.
export ENGINE=${ENGINE:-oldest}
# Of sanity on each core a part; make sanity has all on both.
export SANITY=${SANITY:-shared}
# What the later phases need is made beside the first, which leaves a processor idle. Each of them makes what it misses,
# and says so if it cannot: here nobody asks what became of it.
prepare() {
  ensure_oldest
  ensure_node_python || [ $? = 3 ]
  install_packages "$tools/debian-packages-fleet.txt"
  "$venv/bin/python" -m tests.fleet images
}
mkdir -p "$logs"
(cd "$root" && export PYTHONPATH=$collections && prepare) >"$logs/prepare.log" 2>&1 &
trap wait EXIT

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
