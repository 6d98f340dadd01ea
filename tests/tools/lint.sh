#!/usr/bin/env bash
# Every static check. All of them run, so one run shows all faults; the names of those that failed come last.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
cd "$root"
export PATH=$venv/bin:$PATH

failed=()
check() { # NAME COMMAND...: run it, show what it printed only when it fails
  local name=$1 log start=$SECONDS
  shift
  log=$logs/lint-${name// /-}.log
  if "$@" >"$log" 2>&1; then
    printf '  %-22s ok      %3d s\n' "$name" $((SECONDS - start))
  else
    printf '  %-22s FAILED  %3d s\n' "$name" $((SECONDS - start))
    sed 's/^/    /' "$log"
    failed+=("$name")
  fi
}

# ansible-lint passes a folder that it never opened, so look at what it says it examined.
ansible_lint() {
  local place status=0 log=$logs/ansible-lint-debug.log
  ANSIBLE_COLLECTIONS_PATH=$collections ansible-lint --offline --nocolor -vv >"$log" 2>&1 || status=$?
  grep -vE '^(DEBUG|INFO) ' "$log" || true
  for place in plugins/modules/ roles/ playbooks/; do
    grep -qE "Examining $place" "$log" || { say "ansible-lint examined nothing in $place" && status=1; }
  done
  return "$status"
}

# It leaves a log in the home folder: give it one below build/.
documentation() {
  mkdir -p "$build/home"
  HOME=$build/home ANSIBLE_COLLECTIONS_PATH=$collections antsibull-docs lint-collection-docs --plugin-docs .
}

shell_scripts() {
  local scripts=()
  mapfile -t scripts < <("$venv/bin/python" "$tools/tree.py" list --shell "$root")
  [ ${#scripts[@]} -gt 0 ] || { say "no shell script found in $root"; return 1; }
  shellcheck "${scripts[@]}"
}

types() {
  # By package, so every file has the name it is imported by; shown by its path in the checkout.
  mypy -p ansible_collections.vvtv.runbook.plugins.module_utils._core -p tests.simulator -p tests.bench -p tests.fleet |
    sed 's,^build/collections/ansible_collections/vvtv/runbook/,,'
}

mkdir -p "$logs" "$build/cache"
step "static checks"
# As long as all others together, and on one processor: beside them.
(check "ansible-lint" ansible_lint && exit "${#failed[@]}") >"$logs/lint-longest" &
longest=$!
check "ruff" ruff check .
check "ruff format" ruff format --check --diff .
check "mypy" types
check "yamllint" yamllint --strict .
check "shellcheck" shell_scripts
check "changelog" antsibull-changelog lint
check "documentation" documentation
check "project rules" python "$tools/project_rules.py" "$root"
wait "$longest" || failed+=("ansible-lint")
cat "$logs/lint-longest"

[ ${#failed[@]} -eq 0 ] || die "static checks failed: $(IFS=,; printf '%s' "${failed[*]}" | sed 's/,/, /g')"
