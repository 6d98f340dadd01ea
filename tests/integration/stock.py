# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person has at 03:00 and is not our code: age, zstd, gzip, tar, openssl; and the shell runbook."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.integration.helpers import sha256sum, sqlite3

SALT = ["-aes-256-cbc", "-pbkdf2", "-salt"]


def run(*command: str | Path, given: bytes | None = None, cwd: Path | None = None) -> bytes:
    """Run a program and return what it prints; raise when it fails."""
    return subprocess.run(command, input=given, capture_output=True, check=True, cwd=cwd).stdout


def unpack(archive: Path, identity: Path, into: Path) -> Path:
    """Open an encrypted backup with nothing but age, zstd (or gzip) and tar; return the folder."""
    into.mkdir(parents=True)
    compressed = run("age", "-d", "-i", identity, archive)
    plain = run("zstd" if ".zst." in archive.name else "gzip", "-d", given=compressed)
    run("tar", "x", "-C", into, given=plain)
    manifest = json.loads((into / "manifest.json").read_text())
    for field in ("state_db", "owner_card"):
        assert sha256sum(into / manifest[f"{field}_file"]) == manifest[f"{field}_sha256"]
    assert sqlite3(into / "state.db", "PRAGMA integrity_check") == "ok"
    return into


def opens(archive: Path, identity: Path) -> bool:
    """Whether stock age opens an archive with an identity."""
    command = ["age", "-d", "-i", identity, "-o", "/dev/null", archive]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def recovery_identity(path: Path) -> str:
    """Make an identity with age-keygen and return its public half."""
    run("age-keygen", "-o", path)
    return run("age-keygen", "-y", path).decode().strip()


def legacy_keyring(root: Path, key_id: str = "20250101T000000Z") -> Path:
    """Make a keyring as the shell runbook does and return its current key."""
    keys = root / "runtime/keys"
    (keys / "archive").mkdir(parents=True, mode=0o700)
    keys.chmod(0o700)
    current = keys / "current.key"
    current.write_bytes(run("openssl", "rand", "-base64", "48").replace(b"\n", b"") + b"\n")
    (keys / "current.key.id").write_text(f"{key_id}\n")
    for path in (current, keys / "current.key.id"):
        path.chmod(0o600)
    return current


def legacy_backup(root: Path, key: Path, key_id: str, backup_id: str) -> Path:
    """Make an encrypted backup as the shell runbook does and return its folder."""
    folder = root / "runtime/backups" / backup_id
    plain = folder / "plain"
    plain.mkdir(parents=True)
    run("sqlite3", root / "runtime/state/vvtv.db", f"VACUUM INTO '{plain}/state.db'")
    run("cp", root / "config/owner_card.sample.yaml", plain / "owner_card.yaml")
    manifest = {
        "schema_version": 1,
        "created_at": "2025-01-01T00:00:00+00:00",
        "state_db_file": "state.db",
        "state_db_sha256": sha256sum(plain / "state.db"),
        "owner_card_file": "owner_card.yaml",
        "owner_card_sha256": sha256sum(plain / "owner_card.yaml"),
    }
    (plain / "manifest.json").write_text(json.dumps(manifest))
    run("tar", "czf", folder / "plain.tar.gz", "-C", plain, ".")
    archive = folder / "backup.tar.gz.enc"
    run("openssl", "enc", *SALT, "-pass", f"file:{key}", "-in", folder / "plain.tar.gz", "-out", archive)
    (folder / "backup.tar.gz.enc.sha256").write_text(f"{sha256sum(archive)}\n")
    (folder / "key_id.txt").write_text(f"{key_id}\n")
    run("rm", "-r", plain, folder / "plain.tar.gz")
    return folder
