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
modules=0
for file in "$place"/plugins/modules/*.py; do
  module=$(basename "$file" .py)
  [ "$module" != __init__ ] || continue
  ansible-doc -t module "vvtv.runbook.$module" 2>"$logs/doc.log" >/dev/null || { cat "$logs/doc.log" && die "ansible-doc does not know vvtv.runbook.$module"; }
  modules=$((modules + 1))
done
playbooks=0
for file in "$place"/playbooks/*.yml; do
  playbook=$(basename "$file" .yml)
  # An inventory with nobody in it, given by hand: groups that a play names may be absent here.
  ansible-playbook -i localhost, --syntax-check "vvtv.runbook.$playbook" >"$logs/syntax.log" 2>&1 || { cat "$logs/syntax.log" && die "playbook vvtv.runbook.$playbook has a fault"; }
  playbooks=$((playbooks + 1))
done
[ "$modules" -gt 0 ] || die "the tarball holds no module"
say "ok: ${tarball#"$root"/}; $modules modules documented and $playbooks playbooks parsed from an installed copy"
