"""Fingerprints of code: the same in every process, another for other code."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pawl.fingerprint import fingerprint

SCRIPT = """
import sys
from pawl.fingerprint import fingerprint
for folder in sys.argv[1:]:
    for name in ("mine", "helper", "further"):
        sys.modules.pop(name, None)
    sys.path.insert(0, folder)
    import mine
    print(fingerprint(mine.build()))
"""
MODULE = """
import functools, pydantic, torch
from helper import width
class Given(pydantic.BaseModel):
    rate: float = pydantic.Field(0.5, ge=0.1, json_schema_extra={"log": True})
SIZES = {"a": [1, 2], "b": {3, "x"}, "c": torch.arange(3)}
class Base(torch.nn.Module):
    def forward(self, x):
        return self.layer(x)
class Model(Base):
    scale = 2.0
    def __init__(self, hidden=8):
        super().__init__()
        self.layer = torch.nn.Linear(hidden, len(SIZES))
    @property
    def twice(self):
        return lambda x: 2 * x
def build():
    here = object()
    return functools.partial(lambda hidden, there=here: (Model(hidden), here, width(), Given), hidden=3)
"""
HELPER = "from further import WIDTH\ndef width():\n    return WIDTH\n"


def written(folder: Path, **changes: tuple[str, str]) -> Path:
    """A folder with the files, changed as told."""
    texts = {"mine": MODULE, "helper": HELPER, "further": "WIDTH = 8\n"}
    folder.mkdir()
    for name, text in texts.items():
        old, new = changes.get(name, ("", ""))
        assert old in text
        (folder / f"{name}.py").write_text(text.replace(old, new) if old else text)
    return folder


def prints_of(*folders: Path) -> list[str]:
    """Their fingerprints, in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, folders)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


CHANGES = [
    {"mine": ("scale = 2.0", "scale = 3.0")},
    {"mine": ("self.layer(x)", "self.layer(x).relu()")},
    {"mine": ("hidden=3)", "hidden=4)")},
    {"mine": ("ge=0.1", "ge=0.2")},
    {"mine": ("[1, 2]", "[1, 3]")},
    {"helper": ("return WIDTH", "return -WIDTH")},
    {"further": ("8", "9")},
]


def test_it_is_the_same_in_every_process_and_follows_every_part(tmp_path: Path) -> None:
    first = written(tmp_path / "first")
    commented = written(tmp_path / "commented", mine=("class Base", "# words\n\nclass Base"))
    changed = [written(tmp_path / str(n), **change) for n, change in enumerate(CHANGES)]
    alone = prints_of(first)
    assert alone * 2 == prints_of(commented, first)
    prints = prints_of(*changed, first)
    assert prints[-1:] == alone
    assert len(set(prints)) == len(prints)


def closing_over(value: Any) -> Any:
    return lambda: value


def recursive(depth: int) -> int:
    return recursive(depth - 1) if depth else 0


def other_recursive(depth: int) -> int:
    return other_recursive(depth - 1) if depth else 1


class Weighted:
    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.me = self

    def __call__(self, *_: Any) -> float:
        return self.weight


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: lambda: 1, lambda: lambda: 2),
        (lambda: closing_over(1), lambda: closing_over(1.0)),
        (lambda: closing_over([torch.zeros(3)]), lambda: closing_over([torch.ones(3)])),
        (lambda: functools.partial(nn.Linear, 3), lambda: functools.partial(nn.Linear, 4)),
        (lambda: nn.Linear, lambda: nn.LazyLinear),
        (lambda: Weighted(1.0), lambda: Weighted(2.0)),
        (lambda: Weighted(1.0).__call__, lambda: Weighted(2.0).__call__),
        (lambda: recursive, lambda: other_recursive),
        (
            lambda: nn.CrossEntropyLoss(reduction="mean"),
            lambda: nn.CrossEntropyLoss(label_smoothing=0.1),
        ),
        (lambda: max, lambda: min),
    ],
)
def test_values_count_and_identities_do_not(one: Any, other: Any) -> None:
    assert fingerprint(one()) == fingerprint(one())
    assert fingerprint(one()) != fingerprint(other())


def test_what_ran_often_is_what_it_was() -> None:
    before = fingerprint(recursive)
    for _ in range(200):
        recursive(20)
    assert fingerprint(recursive) == before


def test_the_text_around_a_lambda_does_not_count() -> None:
    made = [dict(model=lambda: 1), dict(model=lambda: 1, resume="out")]  # noqa: C408
    assert len({fingerprint(each["model"]) for each in made}) == 1
