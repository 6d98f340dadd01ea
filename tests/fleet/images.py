# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Node images: made once for a recipe, found by its digest afterwards; those of other recipes go."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import recipe
from .host import FleetError, run
from .recipe import Image

BUILD_SECONDS = 900


def ensure(images: Iterable[Image], scratch: Path) -> None:
    """Make those that are not there. The caller holds the machine's lock."""
    missing = [image for image in sorted(set(images), key=lambda image: image.tag) if not exists(image)]
    if not missing:
        return
    sys.stderr.write(f"fleet: making {', '.join(image.tag for image in missing)}\n")
    prune()
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda release: _make(release, missing, scratch), {image.release for image in missing}))


def exists(image: Image) -> bool:
    return run("podman", "image", "exists", image.tag, check=False).returncode == 0


def prune(everything: bool = False) -> None:
    """Remove images of other recipes (or all), and what a killed build left. One in use stays."""
    stale = run("podman", "ps", "--all", "--quiet", "--filter", f"label={recipe.LABEL}-build").stdout.split()
    if stale:
        run("podman", "rm", "--force", "--time", "0", *stale)
    listing = run("podman", "images", "--all", "--format", "json", "--filter", f"label={recipe.LABEL}").stdout
    for image in json.loads(listing or "[]"):
        if everything or image["Labels"][recipe.LABEL] != recipe.digest():
            run("podman", "rmi", image["Id"], check=False)


def _make(release: int, wanted: list[Image], scratch: Path) -> None:
    virgin, ready = Image(release, virgin=True), Image(release, virgin=False)
    began = time.monotonic()
    if not exists(virgin):
        _make_virgin(virgin, scratch)
    if ready in wanted:
        _make_ready(ready, virgin)
    sys.stderr.write(f"fleet: Debian {release} made in {time.monotonic() - began:.0f} s\n")


def _make_virgin(image: Image, scratch: Path) -> None:
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        tarball = Path(folder) / "node.tar"
        log = scratch / f"debian-{image.release}.log"
        done = run(
            # What it mounts is mounted for it alone: a killed build leaves files, never mounts.
            "unshare",
            "--mount",
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            f"--include={','.join(recipe.PACKAGES)}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.LEFT_OUT),
            "--skip=cleanup/apt/lists",
            f"--customize-hook={recipe.FILES / 'base.sh'}",
            recipe.RELEASES[image.release][0],
            str(tarball),
            timeout=BUILD_SECONDS,
            check=False,
            env={"FLEET_REPOSITORY": " ".join(recipe.OFFERED), "TMPDIR": folder, "LC_ALL": "C.UTF-8"},
        )
        log.write_text(done.stdout + done.stderr, encoding="utf-8")
        if done.returncode != 0:
            tail = "\n".join(done.stderr.strip().splitlines()[-15:])
            raise FleetError(
                f"mmdebstrap cannot make Debian {image.release} (is the package mirror reachable?); "
                f"all it said is in {log}\n{tail}"
            )
        labels = (f"LABEL {recipe.LABEL}={recipe.digest()}", 'CMD ["/sbin/init"]')
        changes = [part for label in labels for part in ("--change", label)]
        run("podman", "import", "--quiet", *changes, str(tarball), image.tag, timeout=BUILD_SECONDS)


def _make_ready(image: Image, virgin: Image) -> None:
    """A layer above the virgin node, installed from the repository inside it as the role ``node`` does."""
    name = f"vvtv-fleet-build-{image.release}-{recipe.digest()}"
    try:
        run(
            "podman",
            "--runtime=runc",
            "run",
            f"--name={name}",
            "--replace",
            f"--label={recipe.LABEL}-build=1",
            "--network=none",
            "--ulimit=nofile=1024:4096",
            "--ulimit=nproc=4096:4096",
            f"--volume={recipe.FILES}:/mnt:ro",
            virgin.tag,
            "sh",
            "/mnt/ready.sh",
            *recipe.READY,
            timeout=BUILD_SECONDS,
        )
        run(
            "podman",
            "commit",
            "--quiet",
            "--change",
            'CMD ["/sbin/init"]',
            name,
            image.tag,
            timeout=BUILD_SECONDS,
        )
    finally:
        run("podman", "rm", "--force", "--ignore", "--time", "0", name)


def sizes() -> dict[str, int]:
    """Bytes of every image of this recipe, by tag."""
    listing = run("podman", "images", "--format", "json", "--filter", f"label={recipe.LABEL}").stdout
    return {
        name: int(image["Size"])
        for image in json.loads(listing or "[]")
        if image["Labels"][recipe.LABEL] == recipe.digest()
        for name in image.get("Names") or ()
    }


def clean(scratch: Path) -> None:
    """Remove all images and what making them left."""
    prune(everything=True)
    shutil.rmtree(scratch, ignore_errors=True)
