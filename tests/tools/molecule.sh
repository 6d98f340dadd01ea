#!/usr/bin/env bash
# The Molecule scenarios of extensions/molecule on real systemd nodes, with the newest ansible-core and the oldest.
# Arguments: newest or oldest, for one of them; names of scenarios, for these alone. Needs root. Where containers
# cannot run it says what is missing and fails.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

cores=() scenarios=()
for word in "$@"; do
  case $word in
    newest | oldest) cores+=("$word") ;;
    *)
      [ -f "extensions/molecule/$word/molecule.yml" ] || die "there is no scenario $word, and no such core"
      scenarios+=("$word")
      ;;
  esac
done
[ ${#cores[@]} -gt 0 ] || cores=(newest oldest)
[ ${#scenarios[@]} -gt 0 ] || scenarios=(default keys)

fleet() { "$venv/bin/python" -m tests.fleet "$@"; }

step "molecule: what this machine needs"
fleet check || die "the scenarios need containers, and this machine cannot run them: see above"
fleet images

# One run at a time in a checkout: a second one would take the nodes away from the first.
mkdir -p "$build/molecule" "$logs"
exec 9>"$build/molecule/.lock"
flock -n 9 || { say "waiting for another run" && flock 9; }

# As it is now: an edit in the checkout does not reach into a run, whose second half has to find nothing to do.
"$venv/bin/python" "$tools/tree.py" copy "$root" "$build/molecule/collections/ansible_collections/vvtv/runbook"
export ANSIBLE_COLLECTIONS_PATH=$build/molecule/collections COLUMNS=160 NO_COLOR=1

down() {
  local core scenario
  for core in "${cores[@]}"; do
    for scenario in "${scenarios[@]}"; do fleet --fleet "$core-$scenario" down >/dev/null 2>&1 || true; done
  done
}
trap down EXIT

# Passes on what molecule says, and tells the time of each phase when it ends.
exec 3>&1
times() {
  local line phase='' began=0
  while IFS= read -r line; do
    printf '%s\n' "$line"
    case $line in
      *"] Executing") phase=${line##* > } phase=${phase%]*} began=${EPOCHREALTIME/./} ;;
      *"] Executed: "*)
        [ -z "$phase" ] || printf '  %-12s %5d.%d s  %s\n' "$phase" $(((${EPOCHREALTIME/./} - began) / 1000000)) \
          $(((${EPOCHREALTIME/./} - began) / 100000 % 10)) "${line##*] Executed: }" >&3
        phase=''
        ;;
    esac
  done
}

failed=()
for core in "${cores[@]}"; do
  env=$venv
  if [ "$core" = oldest ]; then
    ensure_oldest
    env=$build/venv-oldest
  fi
  for scenario in "${scenarios[@]}"; do
    step "molecule: $scenario, ansible-core $(core_version "$env/bin/python"), $("$env/bin/python" --version)"
    log=$logs/molecule-$core-$scenario.log start=$SECONDS status=0
    # A lock of ours must not live on in a process that molecule leaves behind.
    PATH=$env/bin:$PATH VVTV_MOLECULE_CORE=$core molecule test --scenario-name "$scenario" 9>&- </dev/null 2>&1 |
      times >"$log" || status=$?
    # Molecule calls it a success when it finds no test.
    if [ "$status" = 0 ] && ! grep -qE '[0-9]+ passed in ' "$log"; then
      say "the verifier ran no test" | tee -a "$log"
      status=1
    fi
    printf '  %-12s %5d s\n' "all" $((SECONDS - start))
    if [ "$status" != 0 ]; then
      tail -n 150 "$log"
      failed+=("$core-$scenario")
    fi
  done
done
[ ${#failed[@]} -eq 0 ] || die "molecule: ${failed[*]} failed; all that was said is in build/logs/molecule-*.log"
