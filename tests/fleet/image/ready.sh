#!/bin/sh
# Makes a virgin node one that has what the modules need, and a station. Runs inside; the folder of this
# file is the image/ folder of the checkout. The arguments are the packages.
set -eu
umask 022
here=$(cd -- "$(dirname -- "$0")" && pwd -P)
export DEBIAN_FRONTEND=noninteractive
apt-get install --yes -q --no-install-recommends "$@"
useradd --system --home-dir /srv/vvtv --no-create-home --shell /usr/sbin/nologin --user-group vvtv
cp -r --no-preserve=mode "$here/ready/." /
systemctl enable vvtv-station.service
