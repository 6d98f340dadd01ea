#!/usr/bin/env bash
# ansible-test sanity with the newest and the oldest ansible-core, at the same time, each on a copy of the
# tree, on every Python of a node that this machine has. With SANITY=shared they share the work: the oldest has what
# depends on it, the oldest Python of a node and pylint, which takes longest, the newest the rest on its own Python.
# Arguments go to ansible-test.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

ensure_oldest

# ansible-test wants plain interpreters: it clears the variables that a version manager's shims live by.
pythons=$build/pythons
rm -rf "$pythons"
mkdir -p "$pythons" "$logs"
have=() lack=()
for minor in 9 10 11 12 13 14; do
  if python=$(find_python "$minor"); then
    ln -s "$python" "$pythons/python3.$minor"
    have+=("3.$minor")
  else
    lack+=("3.$minor")
  fi
done

# Warnings that say nothing about this tree; any other makes the run fail, since ansible-test passes
# where a tool is missing and only warns of it.
# ("Reviewing" heads ansible-test's own repetition of all warnings at the end.)
expected=('Using locale "C\.UTF-8" instead of' 'Reviewing previous [0-9]+ warning')
for version in "${lack[@]}"; do
  expected+=("Skipping sanity test \"[a-z-]+\" on Python ${version/./\\.} because it could not be found")
done
harmless=$(IFS='|' && printf '%s' "${expected[*]}")

sanity() { # NAME VENV ARGUMENTS...
  local name=$1 env=$2 copy home=$build/home-$1
  shift 2
  copy=$build/sanity/$name/ansible_collections/vvtv/runbook
  mkdir -p "$(dirname "$copy")" "$home"
  "$venv/bin/python" "$tools/tree.py" copy "$root" "$copy"
  # In a log of its own: pip's remarks about this machine are no finding.
  "$env/bin/python" "$tools/seed_pip.py" "$home" >"$logs/seed-$name.log" 2>&1 ||
    { tail -n 5 "$logs/seed-$name.log" && die "cannot give ansible-test its pip: see $logs/seed-$name.log"; }
  cd "$copy"
  # A repository of its own, or ansible-test asks the checkout around it, which ignores build/.
  git init -q .
  # A home of its own: what ansible-test keeps stays under build/ and makes the next run quick.
  HOME=$home PATH=$env/bin:$pythons:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    ansible-test sanity --local --color no "$@"
}

cores=(newest oldest)
declare -A least=([newest]=20 [oldest]=20)
[ "${SANITY:-whole}" != shared ] || least[oldest]=4
declare -A where=([newest]=$venv [oldest]=$build/venv-oldest) process=()
for core in "${cores[@]}"; do
  share=()
  case $core-${SANITY:-whole} in
    newest-shared) share=(--skip-test pylint --python "$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')") ;;
    oldest-shared) share=(--test ansible-doc --test import --test validate-modules --test pylint --python "${have[0]}") ;;
  esac
  sanity "$core" "${where[$core]}" "${share[@]}" "$@" >"$logs/sanity-$core.log" 2>&1 &
  process[$core]=$!
done

failed=()
for core in "${cores[@]}"; do
  step "sanity: ansible-core $(core_version "${where[$core]}/bin/python") with $("${where[$core]}/bin/python" --version)"
  log=$logs/sanity-$core.log
  if ! wait "${process[$core]}"; then
    grep -E '^(ERROR|WARNING|FATAL)' "$log" | grep -vE "$harmless" || tail -n 20 "$log"
    say "the whole output: $log"
    failed+=("$core")
    continue
  fi
  if grep -E '^WARNING' "$log" | grep -vE "$harmless"; then
    say "ansible-test passed but warned; see $log"
    failed+=("$core")
    continue
  fi
  ran=$(grep -cE '^Running sanity test' "$log") || ran=0
  if [ $# -eq 0 ] && [ "$ran" -lt "${least[$core]}" ]; then
    say "ansible-test ran only $ran tests; see $log"
    failed+=("$core")
    continue
  fi
  imported=$(grep -oE '^Running sanity test "import" on Python 3\.[0-9]+' "$log" | grep -oE '3\.[0-9]+$' | xargs) || imported=
  say "ok: $ran tests${imported:+; imported by Python $imported}"
done
ignored=$(cd "$root" && compgen -G 'tests/sanity/ignore-*.txt') || ignored=
[ -z "$ignored" ] || die "ignore files are not used here, mend the fault instead: $ignored"
[ ${#lack[@]} -eq 0 ] || say "NOT TESTED: Python ${lack[*]} (this machine has none)"
[ ${#failed[@]} -eq 0 ] || die "sanity failed (ansible-core: ${failed[*]})"
