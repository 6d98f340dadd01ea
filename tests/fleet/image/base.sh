#!/bin/sh
# Makes a bare Debian a virgin node. A hook of mmdebstrap: runs outside, the new root is the first argument.
# FLEET_REPOSITORY names the packages that a node can install later.
set -eu
umask 022
root=$1
here=$(cd -- "$(dirname -- "$0")" && pwd -P)
repo=$root/opt/fleet/repo
scratch=$root/tmp/fleet
mkdir -p "$repo" "$scratch"

# These packages and all they need, as a repository inside the node. What is installed already is no part of it.
rm -f "$root"/var/cache/apt/archives/*.deb
# shellcheck disable=SC2086 # a list of names
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get --yes -q --download-only --no-install-recommends install $FLEET_REPOSITORY
mv "$root"/var/cache/apt/archives/*.deb "$repo"
(
  cd "$repo"
  for deb in *.deb; do
    dpkg-deb --field "$deb"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
  done >Packages
)

# The station is not built on the node's Python packages: it has a copy of the one it needs.
dpkg-deb --extract "$repo"/python3-yaml_*.deb "$scratch"
mkdir -p "$root/opt/vvtv-station/lib" "$root/opt/vvtv-station/src"
cp -r "$scratch/usr/lib/python3/dist-packages/yaml" "$root/opt/vvtv-station/lib/"
rm -rf "$scratch"

cp -r --no-preserve=mode "$here/base/." "$root/"
chmod 755 "$root"/opt/vvtv-station/bin/*
mkdir -p "$root/etc/fleet" "$root/etc/sudoers.d"
echo 'ops ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/ops"
chmod 440 "$root/etc/sudoers.d/ops"

chroot "$root" sh -eu <<'INSIDE'
useradd --create-home --shell /bin/bash ops
rm -f /etc/ssh/ssh_host_*
: >/etc/machine-id
mkdir -p /var/log/journal
ln -s /usr/lib/*/faketime/libfaketimeMT.so.1 /opt/fleet/libfaketime.so
test -e /opt/fleet/libfaketime.so
systemctl enable fleet-no-way-out.service
# Nothing may wake up by itself and take time from a test.
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
  fstrim.timer systemd-tmpfiles-clean.timer
rm -rf /var/lib/apt/lists/*
apt-get update
INSIDE
