"""The order in which processes get files of tests."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from lengths import SECONDS, longest_first

HERE = Path(__file__).parent


def test_the_longest_files_come_first_and_stay_whole() -> None:
    made = [("data/few.py", 3), ("campaign/test_places.py", 2), ("data/many.py", 400), ("a.py", 9)]
    items: Any = [
        SimpleNamespace(path=HERE / name, number=number)
        for name, count in made
        for number in range(count)
    ]
    found = [
        (cast("Any", item).path.relative_to(HERE).as_posix(), cast("Any", item).number)
        for item in longest_first(items)
    ]
    names = ["data/many.py", "campaign/test_places.py", "a.py", "data/few.py"]
    counts = dict(made)
    assert found == [(name, number) for name in names for number in range(counts[name])]


def test_files_that_are_known_to_be_long_are_there() -> None:
    assert [name for name in SECONDS if not (HERE / name).is_file()] == []
