#!/usr/bin/env bash
# The unit tests with the newest ansible-core, then the engine's once more on the oldest Python of a node; with
# ENGINE=oldest the engine's on that one only, if this machine has it (age's on both). Arguments go to pytest.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
cd "$root"
export PYTHONPATH=$collections

[ -d tests/unit/core ] || die "tests/unit/core is missing: the engine has no tests"
"$venv/bin/python" "$tools/age_vectors.py" "$build/vectors"
made=0
ensure_node_python || made=$?
case $made in
  0 | 3) ;;
  *) exit "$made" ;;
esac

chosen=()
[ "$made-${ENGINE:-both}" != 0-oldest ] || chosen=(-m "one_python or not engine")
step "unit tests: $("$venv/bin/python" --version), ansible-core $(core_version "$venv/bin/python")"
"$venv/bin/python" -m pytest -n 4 --dist worksteal "${chosen[@]}" tests/unit "$@"

if [ "$made" = 3 ]; then
  say "NOT TESTED: the engine on Python 3.9 (this machine has none; install one, for instance with pyenv)"
  exit 0
fi
step "the engine's tests: $("$build/venv-py39/bin/python" --version), the oldest of a node"
# Of made-up input half as much: this Python is no other one in what it computes.
VVTV_TEST_EXAMPLES=${VVTV_TEST_EXAMPLES:-50} "$build/venv-py39/bin/python" -m pytest -n 4 --dist worksteal -m "not one_python" tests/unit/core "$@"
