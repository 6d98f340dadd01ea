#!/usr/bin/env bash
# The fleet of test nodes (containers with systemd and sshd): its packages, its images, its own tests, and the playbooks
# on it, while it breaks. Needs root. Where a fleet cannot run it says what is missing and fails. Arguments go to pytest.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
cd "$root"
export PYTHONPATH=$collections

install_packages "$tools/debian-packages-fleet.txt"

# Nodes may be asked to run modules on the oldest Python of a node.
made=0
ensure_node_python || made=$?
case $made in
  0 | 3) ;; # what is not tested then is named below
  *) exit "$made" ;;
esac
ensure_oldest

step "the fleet: what this machine needs"
"$venv/bin/python" -m tests.fleet check

step "the fleet: images"
"$venv/bin/python" -m tests.fleet images

# As it is now: an edit in the checkout does not reach into a test that compares two runs.
"$venv/bin/python" "$tools/tree.py" copy "$root" "$build/fleet-collections/ansible_collections/vvtv/runbook"
export ANSIBLE_COLLECTIONS_PATH=$build/fleet-collections PATH=$venv/bin:$PATH

step "the fleet: its own tests, and operations on it"
# Four at once: while one waits for a node that does not answer, the others go on.
"$venv/bin/python" -m pytest -n 4 --dist loadfile --no-loadscope-reorder -m "${MARKED:-not thorough}" tests/fleet "$@"
