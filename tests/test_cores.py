"""How many cores may be used: the affinity mask's, and the quota of control groups of both versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pawl.cores import Cores, cores


def system(root: Path, groups: str, files: dict[str, str]) -> Path:
    """Lays out what the kernel would show of a process in these control groups."""
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/\n", {}, None),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        # A group around the process's own may be the narrower one.
        (
            "0::/pod/app\n",
            {
                "sys/fs/cgroup/pod/app/cpu.max": "400000 100000",
                "sys/fs/cgroup/pod/cpu.max": "50000 100000",
            },
            0.5,
        ),
        # The path is the host's, and only the root is to be seen.
        ("0::/kubepods/pod1\n", {"sys/fs/cgroup/cpu.max": "200000 100000"}, 2.0),
        (
            "3:cpuset:/\n4:cpu,cpuacct:/docker/1\n",
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            3.0,
        ),
        (
            "1:cpu:/\n",
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            None,
        ),
        # Another controller's group says nothing of the processor.
        ("3:cpuset:/\n", {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100"}, None),
        ("nonsense", {"sys/fs/cgroup/cpu.max": "a b"}, None),
        ("0::/\n", {"sys/fs/cgroup/unified/cpu.max": "250000 100000"}, 2.5),
    ],
)  # fmt: skip
def test_the_narrowest_quota_counts(
    tmp_path: Path, groups: str, files: dict[str, str], quota: float | None
) -> None:
    assert cores(system(tmp_path, groups, files)).quota == quota


def test_a_system_without_control_groups(tmp_path: Path) -> None:
    found = cores(tmp_path)
    assert (found.machine, found.quota) == (os.cpu_count(), None)


def test_the_affinity_mask_is_kept_to() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores().allowed == cores().usable == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("machine", "allowed", "quota", "usable"),
    [(64, 64, None, 64), (64, 64, 2.0, 2), (64, 4, 8.0, 4), (8, 8, 1.5, 2), (8, 8, 0.2, 1)],
)
def test_part_of_a_core_counts_as_one(
    machine: int, allowed: int, quota: float | None, usable: int
) -> None:
    assert Cores(machine, allowed, quota).usable == usable


def test_what_was_found_is_said() -> None:
    assert str(Cores(64, 64, None)) == "64 of the machine"
    assert str(Cores(64, 8, 1.5)) == "64 of the machine, 8 of the affinity mask, a quota of 1.5"
