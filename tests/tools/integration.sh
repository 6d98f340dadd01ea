#!/usr/bin/env bash
# Modules, roles and playbooks against simulated nodes, with the oldest ansible-core and then the newest.
# CORES=oldest leaves out the second run, MARKED is what tests are chosen by instead. Arguments go to pytest.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

if [ -z "$(find tests/integration -name 'test_*.py' -print -quit 2>/dev/null)" ]; then
  step "integration tests"
  say "NOT TESTED: tests/integration holds no test yet"
  exit 0
fi

export PYTHONPATH=$collections ANSIBLE_COLLECTIONS_PATH=$collections
# The tests may let a node run its modules on the oldest Python of a node.
made=0
ensure_node_python || made=$?
case $made in
  0) export VVTV_TEST_NODE_PYTHON=$build/venv-py39/bin/python ;;
  3) say "NOT TESTED: modules on Python 3.9 (this machine has none; install one, for instance with pyenv)" ;;
  *) exit "$made" ;;
esac
# What most nodes of the tests run modules on: the Python of a distribution, as stations have it.
ensure_oldest
export VVTV_TEST_USUAL_PYTHON=$build/venv-oldest/bin/python

for core in ${CORES:-oldest newest}; do
  case $core in
    newest) env=$venv ;;
    oldest) env=$build/venv-oldest ;;
    *) die "CORES may hold newest and oldest, not $core" ;;
  esac
  step "integration tests: ansible-core $(core_version "$env/bin/python"), $("$env/bin/python" --version)"
  # On the oldest all of them. What modules take and return depends on ansible-core, so that runs on both; a playbook
  # runs on the newest in make demo and make fleet, and in these tests of it in make thorough. The rest is the engine's,
  # which knows no Ansible: once is enough.
  [ "$core" = oldest ] && chosen=(-m "not thorough") || chosen=(-m "both_cores and not thorough")
  [ -z "${MARKED:-}" ] || chosen=(-m "$MARKED")
  # Four at once: on two cores that leaves no processor idle, and more only makes each of them slower.
  # pytest ends with 5 where it found no test: a failure too.
  PATH=$env/bin:$PATH "$env/bin/python" -m pytest -n 4 --dist worksteal "${chosen[@]}" tests/integration "$@"
done
