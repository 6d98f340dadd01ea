#!/usr/bin/env bash
# The demonstration, with the tools of the checkout first on the path. Arguments go to it.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
cd "$root"
export PYTHONPATH=$collections PATH=$venv/bin:$PATH
exec "$venv/bin/python" -m tests.demo "$@"
