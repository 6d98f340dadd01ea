#!/usr/bin/env bash
# The unit tests with the newest ansible-core, then the engine's once more on the oldest Python of a node.
# Arguments go to pytest.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
cd "$root"
export PYTHONPATH=$collections

"$venv/bin/python" "$tools/age_vectors.py" "$build/vectors"

step "unit tests: $("$venv/bin/python" --version), ansible-core $(core_version "$venv/bin/python")"
"$venv/bin/python" -m pytest -n 4 --dist worksteal tests/unit "$@"

[ -d tests/unit/core ] || die "tests/unit/core is missing: the engine has no tests"
made=0
ensure_node_python || made=$?
case $made in
  0)
    step "the engine's tests: $("$build/venv-py39/bin/python" --version), the oldest of a node"
    VVTV_TEST_EXAMPLES=25 "$build/venv-py39/bin/python" -m pytest -n 4 --dist worksteal -m "not one_python" tests/unit/core "$@"
    ;;
  3) say "NOT TESTED: the engine on Python 3.9 (this machine has none; install one, for instance with pyenv)" ;;
  *) exit "$made" ;;
esac
