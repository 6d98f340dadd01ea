#!/usr/bin/env bash
# Every check, the quick ones first; stops at the first that fails. The time of each comes last.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

# Of the scenarios each on one core here; make molecule has each on both.
export SCENARIOS_ON=${SCENARIOS_ON:-oldest-default newest-keys}
# Of sanity's two longest tests each on one core here; make sanity has both on both.
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

# One turn after the other. A turn's second phase runs beside its first and is shown after it: these two wait a lot.
turns=(lint unit build integration "demo molecule" fleet sanity)
times=$logs/times
: >"$times"
phase() { # NAME: run it, note its time
  local start=$SECONDS status=0
  "$tools/$1.sh" || status=$?
  printf '  %-12s %4d s%s\n' "$1" $((SECONDS - start)) "${2:-}" >>"$times"
  return "$status"
}

failed=
for turn in "${turns[@]}"; do
  first=${turn% *} second=${turn#"$first"}
  second=${second# }
  if [ -n "$second" ]; then
    phase "$second" " beside $first" >"$logs/$second.log" 2>&1 &
    beside=$!
  fi
  phase "$first" || failed=$first
  if [ -n "$second" ]; then
    wait "$beside" || failed=${failed:-$second}
    cat "$logs/$second.log"
  fi
  [ -z "$failed" ] || break
done

step "time"
cat "$times"
printf '  %-12s %4d s\n' "all" "$SECONDS"
[ -z "$failed" ] || die "$failed failed; run it alone with: make $failed"
say "all checks passed"
