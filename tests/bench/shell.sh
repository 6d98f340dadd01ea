#!/usr/bin/env bash
# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The shell runbook's pipelines, as anchors of the benchmark.
#
#   shell.sh backup ROOT OUT      OUT/backup.tar.gz.enc, its sum, from the database of the node at ROOT
#   shell.sh verify ROOT OUT      decrypt to OUT, unpack, compare the hash, remove
#   shell.sh restore ROOT OUT     the same, then copy beside the database of the node at ROOT and move over it
#   shell.sh copy FROM TO         cp and sync: what a rewrap is bounded by
#
# It waits for a busy database, which sqlite3 by itself would not, and it syncs the restored files only.
set -euo pipefail
umask 077

backup() {
  local plain=$2/plain
  rm -rf "$2"
  mkdir -p "$plain"
  sqlite3 -cmd '.timeout 60000' "$1/runtime/state/vvtv.db" "VACUUM INTO '$plain/state.db'"
  cp "$1/config/owner_card.sample.yaml" "$plain/owner_card.yaml"
  printf '{"schema_version":1,"created_at":"%s","state_db_file":"state.db","state_db_sha256":"%s","owner_card_file":"owner_card.yaml","owner_card_sha256":"%s"}\n' \
    "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(sum_of "$plain/state.db")" "$(sum_of "$plain/owner_card.yaml")" \
    >"$plain/manifest.json"
  tar czf "$2/backup.tar.gz" -C "$plain" .
  openssl enc -aes-256-cbc -pbkdf2 -salt -pass "file:$2.key" -in "$2/backup.tar.gz" -out "$2/backup.tar.gz.enc"
  sum_of "$2/backup.tar.gz.enc" >"$2/backup.tar.gz.enc.sha256"
  rm -r "$plain" "$2/backup.tar.gz"
}

sum_of() { sha256sum "$1" | cut -d' ' -f1; }

# unpack OUT: the archive's plaintext in OUT/opened, its hashes compared.
unpack() {
  rm -rf "$1/opened"
  mkdir "$1/opened"
  openssl enc -d -aes-256-cbc -pbkdf2 -pass "file:$1.key" -in "$1/backup.tar.gz.enc" -out "$1/opened.tar.gz"
  tar xzf "$1/opened.tar.gz" -C "$1/opened"
  grep -q "\"state_db_sha256\":\"$(sum_of "$1/opened/state.db")\"" "$1/opened/manifest.json"
}

verify() {
  unpack "$2"
  rm -r "$2/opened" "$2/opened.tar.gz"
}

restore() {
  local target=$1/runtime/state/vvtv.db
  unpack "$2"
  cp "$2/opened/state.db" "$target.new"
  cp "$2/opened/owner_card.yaml" "$1/config/owner_card.sample.yaml.new"
  mv "$target.new" "$target"
  mv "$1/config/owner_card.sample.yaml.new" "$1/config/owner_card.sample.yaml"
  rm -r "$2/opened" "$2/opened.tar.gz"
  sync "$target" "$1/config/owner_card.sample.yaml" "$1/runtime/state"
}

copy() {
  cp "$1" "$2"
  sync "$2"
}

"$@"
