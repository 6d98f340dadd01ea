#!/usr/bin/env bash
# The Molecule scenarios of extensions/molecule on real systemd nodes, with the newest ansible-core and the oldest side
# by side. Arguments: newest or oldest, for one of them; names of scenarios, for these alone. Needs root. Where
# containers cannot run it says what is missing and fails.
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

install_packages "$tools/debian-packages-fleet.txt"
declare -A env=([newest]=$venv [oldest]=$build/venv-oldest)
case " ${cores[*]} " in *' oldest '*) ensure_oldest ;; esac

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
times() { # NAME
  local line phase='' began=0
  while IFS= read -r line; do
    printf '%s\n' "$line"
    case $line in
      *"] Executing") phase=${line##* > } phase=${phase%]*} began=${EPOCHREALTIME/./} ;;
      *"] Executed: "*)
        [ -z "$phase" ] || printf '  %-16s %-12s %5d.%d s  %s\n' "$1" "$phase" \
          $(((${EPOCHREALTIME/./} - began) / 1000000)) $(((${EPOCHREALTIME/./} - began) / 100000 % 10)) \
          "${line##*] Executed: }" >&3
        phase=''
        ;;
    esac
  done
}

run_scenario() { # CORE SCENARIO
  local name=$1-$2 log=$logs/molecule-$1-$2.log start=$SECONDS status=0
  # A lock of ours must not live on in a process that molecule leaves behind.
  PATH=${env[$1]}/bin:$PATH VVTV_MOLECULE_CORE=$1 MOLECULE_EPHEMERAL_DIRECTORY=$build/molecule/$name \
    ANSIBLE_HOME=$build/molecule/home-$1 \
    molecule test --scenario-name "$2" 9>&- </dev/null 2>&1 | times "$name" >"$log" || status=$?
  # Molecule calls it a success when it finds no test.
  if [ "$status" = 0 ] && ! grep -qE '[0-9]+ passed in ' "$log"; then
    say "$name: the verifier ran no test" | tee -a "$log"
    status=1
  fi
  [ "$status" = 0 ] || tail -n 150 "$log"
  printf '  %-16s %-12s %5d   s\n' "$name" "$([ "$status" = 0 ] && echo "all of it" || echo FAILED)" $((SECONDS - start))
  return "$status"
}

step "molecule: ${scenarios[*]}"
declare -A process=()
for core in "${cores[@]}"; do
  say "$core: ansible-core $(core_version "${env[$core]}/bin/python"), $("${env[$core]}/bin/python" --version)"
  (
    failed=0
    for scenario in "${scenarios[@]}"; do
      case ${SCENARIOS_ON:-$core-$scenario} in *"$core-$scenario"*) ;; *) continue ;; esac
      run_scenario "$core" "$scenario" || failed=1
    done
    exit "$failed"
  ) &
  process[$core]=$!
done

failed=()
for core in "${cores[@]}"; do wait "${process[$core]}" || failed+=("$core"); done
[ ${#failed[@]} -eq 0 ] || die "molecule failed (ansible-core: ${failed[*]}); all that was said is in build/logs/molecule-*.log"
