# shellcheck shell=bash
# Shared by the scripts beside it: where things lie, how to speak, how to find a Python, how to make a venv.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
build=$root/build
# shellcheck disable=SC2034 # for the scripts that read this file
{
  venv=$root/.venv
  tools=$root/tests/tools
  collections=$build/collections
}
logs=$build/logs

# The same surroundings on every machine: ansible insists on a UTF-8 locale, and a setting that a
# developer's shell carries may not change what a check says.
export LC_ALL=C.UTF-8
unset PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME ANSIBLE_CONFIG ANSIBLE_COLLECTIONS_PATH CDPATH
export PIP_DISABLE_PIP_VERSION_CHECK=1
export ANSIBLE_HOME=$build/ansible-home HYPOTHESIS_STORAGE_DIRECTORY=$build/cache/hypothesis

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

case $root in
  *[[:space:]:\"\'\$\`\\]*)
    die "the path of this checkout holds a space, a colon, a quote, a dollar or a backslash, which search paths and interpreter paths cannot carry: $root; clone it to a plain path and run again"
    ;;
esac

# usable_python COMMAND MINOR: print the real path of that interpreter if it runs, is 3.MINOR
# ("any": 3.11 or newer) and can make a virtual environment. A version manager's shim may exist and not run.
usable_python() {
  "$1" -I - "$2" 2>/dev/null <<'P'
import sys
import ensurepip
import venv

minor = sys.version_info[1]
wanted = sys.argv[1]
if sys.version_info[0] == 3 and (minor >= 11 if wanted == "any" else minor == int(wanted)):
    # With a virtual environment active, the Python that it was made from: the environment may be remade.
    print(sys._base_executable)
else:
    sys.exit(1)
P
}

# find_python MINOR: the path of a Python 3.MINOR on this machine; status 1 where there is none. The distribution's
# comes first: it is built with optimizations, which one of pyenv's mostly is not.
find_python() {
  local minor=$1 candidate
  if usable_python "/usr/bin/python3.$minor" "$minor"; then return 0; fi
  if usable_python "python3.$minor" "$minor"; then return 0; fi
  if command -v pyenv >/dev/null 2>&1; then
    for candidate in "$(pyenv root)"/versions/3."$minor".*/bin/python; do
      if [ -x "$candidate" ] && usable_python "$candidate" "$minor"; then return 0; fi
    done
  fi
  return 1
}

# best_python: the newest Python that ansible-core of the checks runs on.
best_python() {
  local minor
  for minor in 13 12 11; do
    if find_python "$minor"; then return 0; fi
  done
  usable_python python3 any
}

# ensure_venv FOLDER REQUIREMENTS FINDER [ARGUMENT]: make or mend a virtual environment. Nothing happens
# when the stamp in it names these requirements and this place. Status 3: the finder found no Python.
ensure_venv() {
  local folder=$1 requirements=$2 stamp=$1/.stamp wanted python log
  shift 2
  wanted="$(sha256sum <"$requirements") $folder"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && "$folder/bin/python" -c ''; then return 0; fi
  mkdir -p "$build" "$logs"
  (
    flock 9
    # Somebody else may have made it while we waited.
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi
    log=$logs/$(basename "$folder").log
    # A moved checkout or a vanished interpreter leaves scripts that point nowhere: start again.
    if ! [ -f "$stamp" ] || [ "$(cut -d' ' -f4- "$stamp")" != "$folder" ] || ! "$folder/bin/python" -c '' 2>/dev/null; then
      python=$("$@") || exit 3
      say "making ${folder#"$root"/} with $("$python" --version)"
      rm -rf "$folder"
      "$python" -m venv "$folder" >"$log" 2>&1 || die "cannot make $folder: see $log"
    else
      say "bringing ${folder#"$root"/} up to date"
      rm -f "$stamp"
    fi
    "$folder/bin/python" -m pip install -q --upgrade -r "$requirements" >>"$log" 2>&1 || {
      tail -n 5 "$log" >&2
      die "cannot install ${requirements#"$root"/} into ${folder#"$root"/}: is the package index reachable? see $log"
    }
    printf '%s\n' "$wanted" >"$stamp"
  ) 9>"$build/.venv.lock"
}

# The oldest core goes with the oldest Python it runs on: that is the pair an old bastion has.
oldest_python() {
  local minor
  for minor in 11 12 13; do
    if find_python "$minor"; then return 0; fi
  done
  return 1
}

ensure_oldest() {
  local status=0
  ensure_venv "$build/venv-oldest" "$root/tests/requirements-oldest.txt" oldest_python || status=$?
  [ "$status" != 3 ] || die "the oldest supported ansible-core needs Python 3.11, 3.12 or 3.13 and this machine has none"
  return "$status"
}

# Status 3 where the machine has no Python 3.9: the caller says so in its summary.
ensure_node_python() { ensure_venv "$build/venv-py39" "$root/tests/requirements-node.txt" find_python 9; }

# core_version PYTHON: the version of ansible-core in that environment.
core_version() { "$1" -c 'import ansible.release; print(ansible.release.__version__)'; }

# install_packages LIST: install what brings the commands of a list that this machine lacks.
install_packages() {
  local command package missing=()
  while read -r command package; do
    case $command in '' | '#'*) continue ;; esac
    command -v "$command" >/dev/null 2>&1 || missing+=("$package")
  done <"$1"
  [ ${#missing[@]} -eq 0 ] || install_named "${missing[@]}"
}

# install_named PACKAGE...: install Debian packages, or say what to do where that cannot be.
install_named() {
  command -v apt-get >/dev/null 2>&1 ||
    die "this machine lacks (Debian's package names): $*; there is no apt-get here, so install them and run again"
  [ "$(id -u)" = 0 ] || die "this machine lacks packages; run: sudo apt-get update && sudo apt-get install -y $*"
  mkdir -p "$logs"
  say "installing $*"
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >"$logs/apt.log" 2>&1; then
    tail -n 5 "$logs/apt.log" >&2
    die "apt-get failed: see $logs/apt.log"
  fi
}
