#!/usr/bin/env bash
# Build the tarball, look into it, install it into an empty folder without network and try it there.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
export PATH=$venv/bin:$PATH

step "build"
dist=$build/dist
trial=$build/install
rm -rf "$dist" "$trial"
mkdir -p "$dist" "$trial" "$logs"
cd "$root"
ansible-galaxy collection build --output-path "$dist" . >"$logs/build.log" 2>&1 || { cat "$logs/build.log" && die "the collection does not build"; }
tarball=$(compgen -G "$dist/vvtv-runbook-*.tar.gz") || die "no tarball in $dist"
python "$tools/tarball.py" "$tarball"

# From here on nothing of the checkout is in reach.
cd "$trial"
export ANSIBLE_COLLECTIONS_PATH=$trial
ansible-galaxy collection install --offline -p "$trial" "$tarball" >"$logs/install.log" 2>&1 || { cat "$logs/install.log" && die "the tarball does not install"; }
ansible-galaxy collection verify --offline vvtv.runbook >>"$logs/install.log" 2>&1 || { cat "$logs/install.log" && die "the installed files differ from the tarball"; }

place=$trial/ansible_collections/vvtv/runbook
named() { # FOLDER SUFFIX: what lies there, as it is called
  local file
  for file in "$place/$1"/[!_]*"$2"; do printf 'vvtv.runbook.%s\n' "$(basename "$file" "$2")"; done
}
mapfile -t modules < <(named plugins/modules .py)
mapfile -t playbooks < <(named playbooks .yml)

# All at once, since most of the time it takes is ansible's start. It passes over what it does not know, and warns.
ansible-doc -t module --json "${modules[@]}" >"$logs/doc.json" 2>"$logs/doc.log" || { cat "$logs/doc.log" && die "a module's documentation cannot be read"; }
for module in "${modules[@]}"; do
  grep -qE "^    \"${module//./\\.}\": \{" "$logs/doc.json" || { cat "$logs/doc.log" && die "ansible-doc does not know $module"; }
done
# An inventory with nobody in it, given by hand: groups that a play names may be absent here.
ansible-playbook -i localhost, --syntax-check "${playbooks[@]}" >"$logs/syntax.log" 2>&1 || { cat "$logs/syntax.log" && die "a playbook has a fault"; }
for playbook in "${playbooks[@]}"; do
  grep -qE "^playbook: .*/${playbook##*.}\.yml$" "$logs/syntax.log" || { cat "$logs/syntax.log" && die "ansible-playbook did not read $playbook"; }
done
say "ok: ${tarball#"$root"/}; ${#modules[@]} modules documented and ${#playbooks[@]} playbooks parsed from an installed copy"
