"""Memory: what is left to this process, and what reading data may take of it."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pawl.data import load, memory
from pawl.errors import DataError
from pawl.task import Task

GIB = 2**30
HOST = {"proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n"}
UNIFIED = {"proc/self/cgroup": "0::/jobs/mine\n"}
OLD = {"proc/self/cgroup": "5:cpu:/\n4:memory:/mine\n"}


def group(
    folder: str, most: object, taken: int, freed: int, *, old: bool = False
) -> dict[str, str]:
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    limit, use, cache = names if old else ("memory.max", "memory.current", "inactive_file")
    return {
        f"{folder}/{limit}": f"{most}\n",
        f"{folder}/{use}": f"{taken}\n",
        f"{folder}/memory.stat": f"anon 5\n{cache} {freed}\n",
    }


@pytest.mark.parametrize(
    ("files", "left"),
    [
        (HOST, 8 * GIB),
        (HOST | UNIFIED | group("sys/fs/cgroup/jobs/mine", 4 * GIB, 3 * GIB, GIB), 2 * GIB),
        (HOST | UNIFIED | group("sys/fs/cgroup/jobs", 4 * GIB, GIB, 0), 3 * GIB),
        (HOST | UNIFIED | group("sys/fs/cgroup", 4 * GIB, GIB, 0), 3 * GIB),
        (HOST | UNIFIED | group("sys/fs/cgroup/unified", 4 * GIB, GIB, 0), 3 * GIB),
        (HOST | UNIFIED | group("sys/fs/cgroup", "max", GIB, 0), 8 * GIB),
        (HOST | UNIFIED | group("sys/fs/cgroup", 64 * GIB, GIB, 0), 8 * GIB),
        (HOST | UNIFIED | group("sys/fs/cgroup", GIB, 2 * GIB, 0), 0),
        (HOST | OLD | group("sys/fs/cgroup/memory/mine", 4 * GIB, GIB, GIB, old=True), 4 * GIB),
        (HOST | OLD | group("sys/fs/cgroup/memory", 4 * GIB, GIB, 0, old=True), 3 * GIB),
        (HOST | OLD | group("sys/fs/cgroup/memory", 2**63 - 4096, GIB, 0, old=True), 8 * GIB),
    ],
)
def test_what_is_left_is_the_least_of_the_machine_and_its_control_groups(
    tmp_path: Path, files: dict[str, str], left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(memory.VARIABLE, raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory.available(tmp_path) == left
    assert memory.allowed(tmp_path) == left // 2


def test_this_machine_has_some_memory_left() -> None:
    assert 0 < memory.available() <= 2**60
    assert memory.available(Path("/nowhere")) > 0


@pytest.mark.parametrize(
    ("text", "size"),
    [("500", 500), ("2k", 2048), ("1.5 GB", 3 * GIB // 2), ("3MiB", 3 * 2**20), ("1t", 2**40)],
)
def test_the_user_says_how_much(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(memory.VARIABLE, text)
    assert memory.allowed() == size


def test_an_amount_that_is_none(monkeypatch: pytest.MonkeyPatch, write) -> None:
    monkeypatch.setenv(memory.VARIABLE, "much")
    with pytest.raises(DataError, match="got PAWL_MEMORY='much'; allowed is an amount"):
        load(Task(data=write("a,target\n1,2\n")))


def peak_of(data: Path) -> tuple[int, str]:
    """Bytes that reading took at its peak, and the error."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            load(Task(data=data))
        return tracemalloc.get_traced_memory()[1], str(caught.value)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["bomb.csv.gz", "large.csv"])
def test_a_table_is_read_no_further_than_the_machine_can_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(memory.VARIABLE, "20MB")
    content = b"a,b,target\n" + b"1,2,3\n4,5,6\n" * 4_000_000
    packed = gzip.compress(content, 1) if name.endswith(".gz") else content
    (tmp_path / name).write_bytes(packed)
    del content, packed
    peak, message = peak_of(tmp_path / name)
    assert peak < 20 * 2**20
    assert f"{name} needs" in message
    assert "20 MiB are allowed" in message


def test_a_line_without_an_end_is_not_taken_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(memory.VARIABLE, "1GB")
    (tmp_path / "line.csv").write_bytes(b"a" * 10_000_000)
    peak, message = peak_of(tmp_path / "line.csv")
    assert "line.csv is a single line of 10,000,000 bytes" in message
    assert peak < 30_000_000


def test_what_a_table_takes_is_what_it_was_taken_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is no guess: a table that is let through stays below it."""
    monkeypatch.setenv(memory.VARIABLE, "48MB")
    rows = "".join(f"{row % 9},{row % 7},{row % 2}\n" for row in range(250_000))
    (tmp_path / "table.csv").write_text(f"a,b,target\n{rows}")
    del rows
    tracemalloc.start()
    try:
        load(Task(data=tmp_path / "table.csv"))
        assert tracemalloc.get_traced_memory()[1] < 48 * 2**20
    finally:
        tracemalloc.stop()
    monkeypatch.setenv(memory.VARIABLE, "30MB")
    with pytest.raises(DataError, match=r"needs 3\d MiB of memory"):
        load(Task(data=tmp_path / "table.csv"))


@pytest.mark.parametrize("nested", [False, True])
def test_equal_texts_in_parquet_count_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nested: bool
) -> None:
    text = "x" * 100_000
    cells = [[text, None]] * 1000 if nested else [text] * 1000
    frame = pd.DataFrame({"a": cells, "b": range(1000), "target": [0, 1] * 500})
    path = tmp_path / "bomb.parquet"
    frame.to_parquet(path)
    assert path.stat().st_size < 200_000
    monkeypatch.setenv(memory.VARIABLE, "100MB")
    peak, message = peak_of(path)
    assert "bomb.parquet needs 2" in message
    assert peak < 10_000_000
    frame.assign(a="short").to_parquet(path)
    assert load(Task(data=path)).schema.kind == "binary"


def noisy_images(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = generator.integers(0, 256, (160, 160, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png", compress_level=0)
    return folder


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_images_of_an_archive_are_decoded_one_by_one(tmp_path: Path, kind: str) -> None:
    folder, path = noisy_images(tmp_path / "noise"), tmp_path / f"noise.{kind}"
    files = sorted(file for file in folder.rglob("*.png"))
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(folder))
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            for file in files:
                archive.add(file, file.relative_to(folder))
    encoded = sum(file.stat().st_size for file in files)
    assert encoded > 3_000_000
    expected = load(Task(data=folder)).fingerprint
    tracemalloc.start()
    try:
        data = load(Task(data=path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    decoded = 40 * 3 * 128 * 128
    assert peak < decoded + encoded / 2
    assert data.fingerprint == expected


def test_images_that_take_too_much_once_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(memory.VARIABLE, "2MB")
    content = io.BytesIO()
    Image.new("RGB", (128, 128)).save(content, "PNG")
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as archive:
        for place in range(40):
            archive.writestr(f"{'cat' if place % 2 else 'dog'}/{place}.png", content.getvalue())
    with pytest.raises(DataError, match=r"plain\.zip needs 3\.. MiB .* 2\.0 MiB are allowed"):
        load(Task(data=tmp_path / "plain.zip"))
