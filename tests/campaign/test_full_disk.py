"""A disk that is full, or read-only: one line, exit code 2, and nothing lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaigns import arguments, check_same, units_in
from terminal import pawl

from pawl import Result


def mount(*arguments: str) -> str:
    """Calls `mount`; returns what it complains of."""
    try:
        ran = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return ran.stderr if ran.returncode else ""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    refusal = mount("-t", "tmpfs", "-o", "size=160k", "pawl-test", str(folder))
    if refusal:
        pytest.skip(f"no file system can be mounted here: {refusal.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def one_line(stderr: str) -> str:
    """Holds that there is one line besides those of the phases; returns it."""
    lines = [line for line in stderr.splitlines() if not line.lstrip()[:1].isdigit()]
    assert len(lines) == 1, stderr
    return lines[0]


def test_a_disk_that_fills_up_and_is_freed(
    done: Result, files: tuple[Path, Path], disk: Path
) -> None:
    out = disk / "out"
    finished: list[str] = []
    failures = []
    for size in ("160k", "420k", "720k", "32m"):  # in a unit, among the artifacts, at the end
        assert not mount("-o", f"remount,size={size}", str(disk))
        how = ("optimize", "--resume", out) if finished else (*arguments(files), "--out", out)
        ran = pawl(*how)
        units = units_in(out)
        assert units[: len(finished)] == finished
        finished = units
        if ran.returncode == 0:
            break
        assert ran.returncode == 2, ran.stderr
        line = one_line(ran.stderr)
        assert line.startswith("pawl: cannot write ")
        assert line.endswith(f"free some space, then go on with --resume {out}")
        assert not (out / "summary.json").exists()
        assert not list(out.rglob("*.new"))
        failures.append(line)
    assert len(failures) >= 2
    assert finished
    check_same(out, done.folder)


def test_a_disk_that_has_become_read_only(files: tuple[Path, Path], disk: Path) -> None:
    out = disk / "out"
    assert pawl(*arguments(files), "--out", out).returncode == 2  # it is full: nothing is finished
    assert not mount("-o", "remount,ro", str(disk))
    ran = pawl("optimize", "--resume", out)
    assert ran.returncode == 2
    assert "Read-only file system" in one_line(ran.stderr)
    ran = pawl(*arguments(files), "--out", disk / "other")
    assert ran.returncode == 2
    assert "Read-only file system" in one_line(ran.stderr)
    assert "another --out" in ran.stderr
