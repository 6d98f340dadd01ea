# Copyright (c) 2026 the vvtv.runbook authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release's archive: what stock tar makes is unpacked alike, and nothing gets out of its folder."""

from __future__ import annotations

import gzip
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ansible_collections.vvtv.runbook.plugins.module_utils._core import files, release_tree
from ansible_collections.vvtv.runbook.plugins.module_utils._core.archive import compression, tree
from ansible_collections.vvtv.runbook.plugins.module_utils._core.errors import (
    Damaged,
    MissingLibrary,
    RunbookError,
)

ME = files.Owner(os.getuid(), os.getgid())
PATH = Path("/releases/2.0.0.tar.gz")
REG, DIR, SYM, LNK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def member(name: str, kind: bytes = REG, data: bytes = b"", to: str = "", mode: int = 0o644) -> bytes:
    """Return one member as tarfile writes it, long names and all."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname, info.mode = kind, len(data), to, mode
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape") + data + bytes(-len(data) % 512)


def tar(*members: bytes) -> bytes:
    return b"".join(members) + bytes(1024)


def found(data: bytes, size: int = 700) -> list[tuple[str, str, bytes]]:
    """Read a tar that comes in small pieces: kind, name and data of each member."""
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    return [(one.kind, one.name, b"".join(one.data)) for one in tree.entries(iter(pieces), PATH)]


def refusal(data: bytes) -> str:
    with pytest.raises(Damaged) as caught:
        found(data)
    assert str(PATH) in str(caught.value)
    return caught.value.msg


def unpacked(data: bytes, where: Path) -> Path:
    """Unpack an archive into a new folder of ``where``."""
    archive = where / "release.tar"
    archive.write_bytes(data)
    digest = release_tree.unpack(archive, where / "tree", ME)
    assert digest == files.sha256_hex(data)
    return where / "tree"


def seen(root: Path) -> dict[str, Any]:
    """Everything below a folder, without our reader."""
    told: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            told[name] = os.readlink(path)
        elif path.is_dir():
            told[name] = "folder"
        else:
            told[name] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return told


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree such as a release has, with all that is allowed."""
    root = tmp_path / "source"
    (root / "bin").mkdir(parents=True)
    (root / "lib" / "deep" / ("long" * 40)).mkdir(parents=True)
    (root / "bin" / "station").write_text("#!/bin/sh\n")
    (root / "bin" / "station").chmod(0o755)
    (root / "lib" / "deep" / ("long" * 40) / f"{'name' * 30}é").write_bytes(os.urandom(5000))
    (root / "lib" / "again").symlink_to("deep")
    (root / "lib" / "deep" / "up").symlink_to("../../bin/station")
    (root / "lib" / "here").symlink_to(".")
    os.link(root / "bin" / "station", root / "lib" / "same")
    (root / "empty").write_bytes(b"")
    return root


@pytest.mark.parametrize("kind", ["gnu", "pax", "posix", "ustar-short"])
@pytest.mark.parametrize("packed", ["", "z"])
@pytest.mark.parametrize("dot", [True, False])
def test_what_stock_tar_makes_is_unpacked_alike(
    source: Path, tmp_path: Path, kind: str, packed: str, dot: bool
) -> None:
    if kind == "ustar-short":
        kind = "ustar"
        subprocess.run(["rm", "-r", source / "lib" / "deep" / ("long" * 40)], check=True)
    names = ["."] if dot else sorted(path.name for path in source.iterdir())
    archive = tmp_path / "a"
    subprocess.run(["tar", f"c{packed}f", archive, f"--format={kind}", "-C", source, *names], check=True)
    where = tmp_path / "out"
    where.mkdir()
    assert seen(unpacked(archive.read_bytes(), where)) == seen(source)
    assert release_tree.digest(where / "tree") == release_tree.digest(source)


def test_zstd_where_it_is_there(source: Path, tmp_path: Path) -> None:
    plain = subprocess.run(["tar", "c", "-C", source, "."], capture_output=True, check=True).stdout
    data = subprocess.run(["zstd", "-qc"], input=plain, capture_output=True, check=True).stdout
    if compression.zstandard is None:
        with pytest.raises(MissingLibrary, match="zstandard"):
            unpacked(data, tmp_path)
    else:
        assert seen(unpacked(data, tmp_path)) == seen(source)


def test_git_archive_and_its_global_header(tmp_path: Path) -> None:
    repository = tmp_path / "git"
    repository.mkdir()
    (repository / "station.json").write_text("{}")
    git = ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x@x"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], check=True)
    data = subprocess.run([*git, "archive", "HEAD"], capture_output=True, check=True).stdout
    assert b"pax_global_header" in data
    assert seen(unpacked(data, tmp_path)) == {"station.json": (b"{}", False)}


def test_modes_are_ours_and_only_programs_can_be_executed(tmp_path: Path) -> None:
    data = tar(
        member("folder", DIR, mode=0o7777),
        member("folder/suid", REG, b"x", mode=0o6711),
        member("folder/open", REG, b"x", mode=0o666),
    )
    root = unpacked(data, tmp_path)
    modes = {path.name: path.stat().st_mode & 0o7777 for path in root.rglob("*")}
    assert modes == {"folder": 0o755, "suid": 0o755, "open": 0o644}


# --- what is refused ---


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../up",
        "a/../../up",
        "a/..",
        "..",
        "//x",
        "x" * 256,
        "/".join("d" * 65),
        "a\nb",
        "\x1b[2J",
    ],
)
def test_a_name_that_leads_elsewhere(name: str) -> None:
    assert "a name that is not allowed" in refusal(tar(member(name, REG, b"x")))
    # By an extended header too, which says another name than the member's own.
    info = tarfile.TarInfo("fine")
    info.pax_headers = {"path": name}
    data = info.tobuf(tarfile.PAX_FORMAT)
    assert "a name that is not allowed" in refusal(tar(data))


@pytest.mark.parametrize(
    "to",
    [
        "/etc/passwd",
        "..",
        "../..",
        "../../x",
        "a/../../../x",
        "down/../..",
        "",
        "./..",
        "a//b",
        "a/./b",
        "x" * 1025,
    ],
)
def test_a_link_that_leads_out_or_could_with_others(to: str) -> None:
    assert "a link to" in refusal(
        tar(member("d/link", SYM, to=to) if to != ".." else member("link", SYM, to=to))
    )


def test_links_that_lead_out_only_together(tmp_path: Path) -> None:
    """Each of them leads inside by its letters: the second one goes up from wherever the first one leads."""
    data = tar(
        member("p/q/r", DIR),
        member("p/q/r/b", SYM, to="../../.."),
        member("p/q/r/a", SYM, to="b/../../etc"),
    )
    assert "a link to" in refusal(data)


@pytest.mark.parametrize(
    "kind",
    [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"V"],
)
def test_devices_and_other_kinds(kind: bytes) -> None:
    assert "a member of type" in refusal(tar(member("x", kind)))


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ((member("x"), member("x")), "twice"),
        ((member("x"), member("./x")), "twice"),
        ((member("x", DIR), member("x")), "twice"),
        ((member("x"), member("x", DIR)), "twice"),
        ((member("x", SYM, to="y"), member("x")), "twice"),
        ((member("x", SYM, to="y"), member("x/z")), "below something that is no folder"),
        ((member("x"), member("x/z")), "below something that is no folder"),
        ((member("x", LNK, to="y"),), "a link to no file before it"),
        ((member("y", SYM, to="z"), member("x", LNK, to="y")), "a link to no file before it"),
        ((member("y", DIR), member("x", LNK, to="y")), "a link to no file before it"),
        ((), "holds nothing"),
        ((member(".", DIR),), "holds nothing"),
    ],
)
def test_what_could_not_be_written_as_it_says(tmp_path: Path, members: tuple[bytes, ...], words: str) -> None:
    with pytest.raises(Damaged, match=words):
        unpacked(tar(*members), tmp_path)
    assert not (tmp_path / "tree").exists()


def test_a_hard_link_leads_nowhere_but_into_the_tree() -> None:
    for to in ("/etc/passwd", "../x", "a/../../x"):
        assert "a name that is not allowed" in refusal(tar(member("x", LNK, to=to)))


def header(**fields: Any) -> bytes:
    info = tarfile.TarInfo("x")
    for name, value in fields.items():
        setattr(info, name, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def extended(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    info = tarfile.TarInfo("pax")
    info.type, info.size = kind, len(records)
    return info.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is cut off"),
        (bytes(512), "is cut off"),
        (bytes(512) + b"x" * 512, "one block of its end only"),
        (b"x" * 1024, "is no tar"),
        (tar(member("x", REG, b"y" * 600))[:1100], "is cut off"),
        (tar(member("x")) + b"more", "goes on after"),
        (tar(member("x")) + bytes(2 << 20), "goes on after"),
        (tar(header(size=tree.MAX_BYTES + 1)), "more than"),
        (tar(header(size=-1)), "of -1 bytes"),
        (tar(header(type=DIR, size=3)), "a folder with data"),
        (tar(header(type=SYM, size=3, linkname="y")), "a link with data"),
        (tar(extended(b"garbage\n"), member("x")), "cannot be read"),
        (tar(extended(b"9 path=\n"), member("x")), "cannot be read"),
        (tar(extended(b"99 path=x\n"), member("x")), "cannot be read"),
        (tar(extended(b"12 size=-1\n\n"), member("x")), "cannot be read"),
        (tar(extended(b"10 size=1\n"), member("x", DIR)), "a folder with data"),
        (tar(extended(b"11 path=\xff\xfe\n"), member("x")), "not UTF-8"),
        (tar(extended(b"22 GNU.sparse.major=1\n"), member("x")), "sparse"),
        (tar(extended(b"10 path=x\n", tarfile.XGLTYPE), member("x")), "global header"),
        (tar(header(type=tarfile.GNUTYPE_LONGNAME, size=1 << 30)), "an extended header of"),
        (tar(extended(b"10 path=x\n")), "ends after an extended header"),
    ],
)
def test_broken_tars(data: bytes, words: str) -> None:
    assert words in refusal(data)


def test_bounds_on_count_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_ENTRIES", 3)
    assert "more than 3 members" in refusal(tar(*(member(str(number)) for number in range(4))))
    monkeypatch.setattr(tree, "MAX_BYTES", 1000)
    assert "more than 1000 bytes" in refusal(tar(member("x", REG, b"y" * 600), member("y", REG, b"y" * 600)))


def test_a_bomb_is_stopped_at_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_BYTES", 1 << 20)
    bomb = gzip.compress(tar(member("x", REG, bytes(8 << 20))))
    assert len(bomb) < 20_000
    with pytest.raises(Damaged, match="more than 1048576"):
        unpacked(bomb, tmp_path)
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize(
    "data",
    [b"\x1f\x8b", gzip.compress(tar(member("x")))[:-4], b"\x28\xb5\x2f\xfdxx", b""],
    # gzip holds the time, and all processes of a run must give a test the same name.
    ids=["gzip, no more", "gzip, cut", "zstandard, none", "empty"],
)
def test_a_broken_stream_says_what_to_do(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(RunbookError) as caught:
        unpacked(data, tmp_path)
    assert "backup" not in str(caught.value)
    assert not (tmp_path / "tree").exists()


_PART = st.sampled_from(["a", "b", "c", "..", ".", "", "é", "x" * 100, "\udcff", "\n"])
_NAME = st.lists(_PART, min_size=1, max_size=5).map("/".join)
_MEMBER = st.builds(
    member,
    name=_NAME,
    kind=st.sampled_from([REG, DIR, SYM, LNK, REG, DIR, SYM]),
    to=_NAME,
    mode=st.integers(0, 0o7777),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_MEMBER, max_size=8))
@example([member("a/b", SYM, to="../c"), member("c", SYM, to="a"), member("c/x")])
def test_whatever_it_holds_nothing_gets_out(
    tmp_path_factory: pytest.TempPathFactory, members: list[bytes]
) -> None:
    where = tmp_path_factory.mktemp("out")
    outside = where / "outside"
    outside.write_text("untouched")
    try:
        root = unpacked(tar(*members), where)
    except RunbookError:
        assert sorted(path.name for path in where.iterdir()) == ["outside", "release.tar"]
        return
    assert outside.read_text() == "untouched"
    inside = os.path.realpath(root)
    for path in root.rglob("*"):
        leads = os.path.realpath(path)
        assert leads == inside or leads.startswith(f"{inside}/")
    assert release_tree.sealed(root) == release_tree.digest(root)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=2000), st.integers(0, 3000))
def test_bytes_of_any_kind(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    good = bytearray(
        tar(member("d", DIR), member("d/file", REG, b"data" * 100), member("l", SYM, to="d/file"))
    )
    good[at : at + len(noise)] = noise
    where = tmp_path_factory.mktemp("noise")
    try:
        unpacked(bytes(good), where)
    except RunbookError:
        assert not (where / "tree").exists()
    assert sorted(path.name for path in where.iterdir() if path.name != "tree") == ["release.tar"]


def test_the_digest_sees_every_change(tmp_path: Path) -> None:
    root = unpacked(tar(member("d", DIR), member("d/x", REG, b"1"), member("l", SYM, to="d")), tmp_path)
    digests = [release_tree.digest(root)]
    (root / "d" / "x").chmod(0o755)
    digests.append(release_tree.digest(root))
    (root / "d" / "x").write_bytes(b"2")
    digests.append(release_tree.digest(root))
    (root / "d" / "x").rename(root / "d" / "y")
    digests.append(release_tree.digest(root))
    (root / "e").mkdir()
    digests.append(release_tree.digest(root))
    (root / "l").unlink()
    (root / "l").symlink_to("e")
    digests.append(release_tree.digest(root))
    assert len(set(digests)) == len(digests)
    os.mkfifo(root / "pipe")
    with pytest.raises(Damaged, match="neither file, folder nor link"):
        release_tree.digest(root)


def test_members_that_are_not_taken_are_passed_over() -> None:
    data = tar(member("x", REG, b"y" * 3000), member("z", REG, b"1"))
    pieces = iter([data])
    assert [one.name for one in tree.entries(pieces, PATH)] == ["x", "z"]
    assert found(data) == [("file", "x", b"y" * 3000), ("file", "z", b"1")]
