"""Rows to compress with: those that may be learned from, those for choices, and those that judge."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pawl.compression.result import RECORD
from pawl.data import LoadedData, load, read_like, resolve_task, split_rows
from pawl.data.types import Examples
from pawl.deployment import Bundle
from pawl.errors import DataError, PawlError, option
from pawl.ledger import Ledger
from pawl.ledger.database import LEDGER_FILE
from pawl.options import RunOptions
from pawl.rng import derive_seed
from pawl.task import Task

JUDGING_SHARE = 0.5
"""Of rows that are not the campaign's own."""
_CHOICE_ROWS, _MOST_CHOICE_ROWS, _CHOICE_NUMBERS = 4000, 20_000, 4_000_000
"""Rows for choices: as many as have so many numbers, but no fewer and no more."""
_LEAST_ROWS = 8
CHOOSING_SHARE, _LEAST_TEST_ROWS = 0.2, 1000
"""Of a campaign's test rows those for choices, and how many there must be for that."""


@dataclass(frozen=True, eq=False)
class GivenRows:
    """Rows in their parts.

    Attributes:
        work: May be learned from; choices are judged on some of them where `chosen` has none.
        judge: Had no part in anything.
        told: Where they are from, and what that assumes.
        own: Whether they are the campaign's own data, its test rows judging.
        campaign: The folder of the campaign that the bundle is from, if it is known.
        unlabeled: Rows without targets that may be learned from, too.
        chosen: Rows for choices, of which nothing is learned.
    """

    work: Examples
    judge: Examples
    told: str
    own: bool
    campaign: Path | None = None
    unlabeled: Examples | None = None
    chosen: Examples | None = None

    @classmethod
    def of_campaign(cls, data: LoadedData, folder: Path, told: str = "the campaign's") -> GivenRows:
        """Returns a campaign's own rows in parts: its development rows are learned from.

        Test rows judge. A fifth of them is for choices where there are enough, the same ones each time:
        on rows that the original learned from it is better than elsewhere, so that every network that
        was trained otherwise seems to lose there.

        Args:
            data: The campaign's.
            folder: Where it lies.
            told: How the rows are called.
        """
        test, chosen = data.test, None
        if len(test) >= _LEAST_TEST_ROWS:
            own, rest = split_rows(
                test.known_targets, data.schema.kind, 1.0 - CHOOSING_SHARE, derive_seed(0, "choices"),
                blocks=test.blocks,
            )  # fmt: skip
            test, chosen = test.take(rest), test.take(own)
        said = f"{told} {len(test):,} test rows judge (on record as a further look at them), "
        said += "" if chosen is None else f"{len(chosen):,} others are for choices, "
        said += f"its {len(data.development):,} development rows are learned from"
        return cls(data.development, test, said, own=True, campaign=folder, chosen=chosen)

    def with_unlabeled(self, bundle: Bundle, source: Any) -> GivenRows:
        """Returns them with rows without targets; what they have of targets is not read.

        Raises:
            DataError: They cannot be read by the bundle's schema, or rows belong together.
        """
        if self.work.blocks is not None:
            raise DataError(
                f"rows of the bundle's task belong together (by {self.work.blocks.column!r}), and which "
                f"ones is not known of others; leave {option('unlabeled')} out"
            )
        more = read_like(bundle.schema, source)
        told = f"{self.told}; {len(more):,} rows without targets are learned from, too"
        return replace(self, unlabeled=more, told=told)

    def choices(self, seed: int) -> Examples:
        """Returns rows for choices: all there are, or a few thousand of many, by a row's length."""
        if self.chosen is not None:
            return self.chosen
        generator = torch.Generator().manual_seed(derive_seed(seed, "choices"))
        numbers = sum(each[0].numel() for each in self.work.inputs.values())
        count = min(_MOST_CHOICE_ROWS, max(_CHOICE_ROWS, _CHOICE_NUMBERS // max(1, numbers)))
        drawn = torch.randperm(len(self.work), generator=generator)[:count]
        return self.work.take(drawn.sort().values)


def given_rows(bundle: Bundle, source: Any, seed: int) -> GivenRows:
    """Reads rows with targets, and parts them.

    Where the bundle lies in its campaign's folder, or was made of one that does, and this is the
    campaign's own data (told by its fingerprint), its development rows are learned from and its test
    rows choose and judge (`GivenRows.of_campaign`). Other rows are split in halves by the seed; that
    they are others than the bundle learned from is then assumed.

    Args:
        bundle: The bundle.
        source: Rows in the form of the training data, with targets.
        seed: Of the split.

    Raises:
        DataError: They cannot be read by the bundle's schema, lack targets, or are too few.
    """
    campaign = _campaign_of(bundle)
    if campaign is not None and (own := _campaigns(campaign, bundle, source)) is not None:
        return own
    given = source.data if isinstance(source, Task) else source
    rows = read_like(bundle.schema, given, with_targets=True)
    if len(rows) < _LEAST_ROWS:
        raise DataError(
            f"got {len(rows)} row(s) to compress with; at least {_LEAST_ROWS} are needed, and hundreds "
            "to show that little is lost; give more rows"
        )
    work, judge = split_rows(
        rows.known_targets, bundle.schema.kind, JUDGING_SHARE, derive_seed(seed, "judge"),
        blocks=rows.blocks,
    )  # fmt: skip
    told = (
        f"{len(judge):,} of the {len(rows):,} rows given judge, and the others are learned from; that "
        "the bundle was not trained on them is assumed"
    )
    if campaign is not None:
        told += f" (they are not the data of its campaign in {str(campaign)!r} as it was read then)"
    return GivenRows(rows.take(work), rows.take(judge), told, own=False, campaign=campaign)


def _campaign_of(bundle: Bundle) -> Path | None:
    """Returns the folder of the campaign that a bundle is from, through those that it was made of."""
    folder = bundle.folder.absolute().parent
    if not (folder / LEDGER_FILE).is_file():
        try:
            known = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            folder = Path(known["campaign"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
    return folder if (folder / LEDGER_FILE).is_file() else None


def _campaigns(folder: Path, bundle: Bundle, source: Any) -> GivenRows | None:
    """Returns the campaign's own rows; `None` if these are others.

    Raises:
        LedgerError: The ledger cannot be read, or looks cannot be put on record.
    """
    with Ledger.open(folder) as ledger:
        known = ledger.identity
        options = known.get("options", {"seed": known.get("seed", 0)})
        given = {
            name: value
            for name, value in options.items()
            if name in RunOptions.model_fields and value not in (None, [])
        }
        try:
            run = RunOptions(**given)
            data = load(resolve_task(source, **run.of_task()), seed=run.seed)
        except (
            PawlError
        ):  # unlike what the campaign read; whether the bundle can take it is seen next
            return None
        alike = data.schema.reading() == bundle.schema.reading()
        if data.fingerprint != known.get("fingerprint") or not alike:
            return None
        ledger.touch_test(f"compress/{_digest(bundle)}")
    return GivenRows.of_campaign(data, folder, "the campaign's own data: its")


def _digest(bundle: Bundle) -> str:
    content = json.loads((bundle.folder / "manifest.json").read_text(encoding="utf-8"))
    return str(content["sha256"]["model.onnx"])[:16]
