"""Data techniques that change which rows train, for tests: they must join like any other."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from techniques.table import Row
from torch import Tensor

from pawl import rng
from pawl.data.types import Examples
from pawl.techniques import DataTechnique, Phase, Settings, Split, number


class ShareSettings(Settings):
    """Settings of techniques that act on some rows."""

    share: float = number(0.3, 0.01, 0.9, "share of the training rows, about")


class PowerSettings(Settings):
    """Settings of `weigh_rows`."""

    power: float = number(1.0, 0.1, 10.0, "how far weights differ")


def _drawn(split: Split, salt: int) -> Tensor:
    """Returns a number from [0, 1) for each training row, the same whenever it is asked for."""
    key = torch.tensor(salt, dtype=torch.int32)
    return rng.uniform(key, (len(split.examples),))[split.rows]


def drop_rows(split: Split, settings: Any) -> Split:
    """Leaves a share of the rows out."""
    return dataclasses.replace(split, rows=split.rows[_drawn(split, 1) >= settings.share])


def repeat_rows(split: Split, settings: Any) -> Split:
    """Names a share of the rows twice."""
    again = split.rows[_drawn(split, 2) < settings.share]
    return dataclasses.replace(split, rows=torch.cat([split.rows, again]))


def add_rows(split: Split, settings: Any) -> Split:
    """Adds copies of a share of the rows, their numbers doubled."""
    copied = split.examples.take(split.rows[_drawn(split, 3) < settings.share])
    inputs = {n: 2 * x if x.is_floating_point() else x for n, x in copied.inputs.items()}
    return split.add(Examples(inputs, copied.targets))


def weigh_rows(split: Split, settings: Any) -> Split:
    """Weighs the rows at random."""
    weights = torch.ones(len(split.examples))
    weights[split.rows] = 0.1 + settings.power * _drawn(split, 4)
    return dataclasses.replace(split, weights=weights)


def _technique(name: str, apply: Any, summary: str, **record: Any) -> DataTechnique:
    return DataTechnique(
        name=name,
        summary=summary,
        reference="Shorten and Khoshgoftaar, A survey on data augmentation, 2019",
        apply=apply,
        **record,
    )


_SHARE: dict[str, Any] = {
    "settings": ShareSettings,
    "memberwise": frozenset({"share"}),
    "phase": Phase.ROWS,
}
ROW_TECHNIQUES = (
    _technique("drop_rows", drop_rows, "Leave rows out.", **_SHARE),
    _technique(
        "repeat_rows",
        repeat_rows,
        "Show rows twice.",
        **{**_SHARE, "phase": Phase.REPEATED_ROWS},
    ),
    _technique(
        "add_rows",
        add_rows,
        "Add changed copies of rows.",
        **{**_SHARE, "phase": Phase.ADDED_ROWS},
    ),
    _technique(
        "weigh_rows",
        weigh_rows,
        "Weigh rows.",
        settings=PowerSettings,
        memberwise=frozenset({"power"}),
        phase=Phase.ROW_WEIGHTS,
    ),
)
_SHARES = ({"share": 0.1}, {"share": 0.3}, {"share": 0.6})
ROW_ROWS = {
    row.name: row
    for row in (
        Row("drop_rows", _SHARES),
        Row("repeat_rows", _SHARES),
        Row("add_rows", _SHARES),
        Row("weigh_rows", ({"power": 0.3}, {"power": 1.0}, {"power": 9.0})),
    )
}
