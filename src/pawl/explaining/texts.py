"""Which words of a text speak for a prediction; and what that is worth.

A word is taken out of its row (its tokens become padding, which a model does not read), and what the
prediction loses by that is the word's part: occlusion. Of long texts a few words in a row are one.

Shape legend: `N` rows, `W` words (or runs of words) of a row, `O` outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pawl.data.tokens import PAD, words_of
from pawl.data.types import Inputs
from pawl.errors import printable
from pawl.explaining.agreement import rank_correlation
from pawl.explaining.effort import Effort
from pawl.explaining.gradients import SHUFFLES, scrambled, subject_of
from pawl.explaining.result import Text, Texts, Word
from pawl.explaining.subject import Subject, Values, count_of, taken
from pawl.explaining.value import Check
from pawl.explaining.worth import mean_interval
from pawl.models import Pipeline
from pawl.rng import derive_seed

_MOST_WORDS = 120
LEAST_WORDS = 4
"""Of a text whose words can be ranked."""
_STEPS, _ORDERS = 10, 8
_UNLIKE = 0.5
FEW = 4
_AT_ONCE = 64


@dataclass(frozen=True)
class Run:
    """Words that are taken out together: where, and what they are."""

    input: str
    column: str
    places: tuple[int, ...]
    text: str


def has_texts(subject: Subject) -> bool:
    """Tells whether a column is a text."""
    return any(column.kind == "text" for column in subject.schema.columns)


def texts(
    subject: Subject,
    rows: Inputs,
    others: Inputs,
    pipeline: Pipeline | None,
    *,
    seed: int,
    effort: Effort,
) -> Texts | str:
    """Returns what each word adds to its row's prediction, or why that cannot be told.

    Args:
        subject: What is explained.
        rows: To explain; fewer of them where the effort ends before.
        others: Rows over which the prediction varies as usual.
        pipeline: The bundle's modules; `None` where there are none.
        seed: Of the random orders that the words' order is compared with.
        effort: At least one row is explained.
    """
    runs = [runs_of(subject, taken(rows, [row])) for row in range(count_of(rows))]
    spoken = [row for row, found in enumerate(runs) if len(found) >= LEAST_WORDS]
    if not spoken:
        return f"no row has a text of {LEAST_WORDS} words or more"
    values, scale = subject.values(rows), subject.values(others).std(0)
    leading = subject.leading(values)
    parts: dict[int, Values] = {}
    for row in spoken:
        if effort.over and parts:
            break
        parts[row] = _occluded(subject, taken(rows, [row]), runs[row])[:, leading[row]]
    checks = [deletion(subject, rows, runs, parts, leading, scale, seed)]
    if pipeline is not None and not effort.over:
        few = list(parts)[:FEW]
        alike = []
        for number in range(SHUFFLES):
            wrong = subject_of(subject, scrambled(pipeline, seed, number))
            for row in few:
                other = _occluded(wrong, taken(rows, [row]), runs[row])[:, leading[row]]
                alike.append(rank_correlation(parts[row], other))
        checks.append(of_these_weights(float(np.mean(alike))))
    longest = max(len(run.text.split()) for found in runs for run in found)
    detail = (
        "What the prediction loses where a word is taken out of its text"
        + (", or a few words in a row, where texts are long" if longest > 1 else "")
        + ". Texts are shown as the model reads them: in lower case, of long ones both ends."
    )
    return told(subject, runs, parts, values, "occlusion", detail, checks)


def told(
    subject: Subject,
    runs: Sequence[Sequence[Run]],
    parts: dict[int, Values],
    values: Values,
    method: Literal["occlusion", "attention"],
    detail: str,
    checks: Sequence[Check],
) -> Texts:
    """Returns texts as they are kept: of some rows the part of each word."""
    leading = subject.leading(values)
    return Texts(
        method=method,
        detail=detail,
        texts=[
            Text(
                row=row,
                output=subject.outputs[int(leading[row])],
                prediction=float(values[row, leading[row]]),
                words=[
                    Word(column=printable(run.column), text=printable(run.text), value=float(value))
                    for run, value in zip(runs[row], each, strict=True)
                ],
            )
            for row, each in parts.items()
        ],
        checks=list(checks),
    )


def runs_of(subject: Subject, row: Inputs) -> list[Run]:
    """Returns a row's words, or runs of as many words as leave not too many."""
    schema, found = subject.schema, list[Run]()
    columns = [column for column in schema.columns if column.kind == "text"]
    specs = [spec for spec in schema.inputs if spec.tokens]
    read = [
        (column.name, spec.name, words_of(column.tokenizer, row[spec.name][0].tolist()))
        for column, spec in zip(columns, specs, strict=True)
    ]
    length = max(1, -(-sum(len(words) for _, _, words in read) // _MOST_WORDS))
    for column, name, words in read:
        for start in range(0, len(words), length):
            own = words[start : start + length]
            places = tuple(place for _, each in own for place in each)
            found.append(Run(name, column, places, " ".join(word for word, _ in own)))
    return found


def _without(row: Inputs, runs: Sequence[Run], gone: NDArray[np.bool_]) -> Inputs:
    """Returns copies of a row without some of its words, by masks `[R, W]`."""
    mixed = {name: x.expand(len(gone), *x.shape[1:]).clone() for name, x in row.items()}
    for place, run in enumerate(runs):
        absent = torch.from_numpy(gone[:, place]).nonzero().flatten()
        mixed[run.input][absent[:, None], torch.tensor(run.places)] = PAD
    return mixed


def _values(subject: Subject, row: Inputs, runs: Sequence[Run], gone: NDArray[np.bool_]) -> Values:
    """Returns predictions without some words, `[R, O]`, a few rows at a time: texts are wide."""
    parts = [
        subject.values(_without(row, runs, gone[start : start + _AT_ONCE]))
        for start in range(0, len(gone), _AT_ONCE)
    ]
    return np.concatenate(parts)


def _occluded(subject: Subject, row: Inputs, runs: Sequence[Run]) -> Values:
    """Returns what the prediction loses without each, `[W, O]`."""
    whole: Values = subject.values(row)
    return whole - _values(subject, row, runs, np.eye(len(runs), dtype=bool))


def deletion(
    subject: Subject,
    rows: Inputs,
    runs: Sequence[Sequence[Run]],
    parts: dict[int, Values],
    leading: NDArray[np.int64],
    scale: Values,
    seed: int,
) -> Check:
    """Words taken out in the order of their parts, against random orders, by the mean output."""
    generator = np.random.default_rng(derive_seed(seed, "orders of words"))
    gained = []
    for row, each in parts.items():
        count, output = len(each), int(leading[row])
        orders = [np.argsort(-each, kind="stable")]
        orders += [generator.permutation(count) for _ in range(_ORDERS)]
        ranks = np.stack([np.argsort(order) for order in orders])
        taken_out = np.arange(1, _STEPS) * count / _STEPS
        gone = (ranks[:, None, :] < taken_out[None, :, None]).reshape(-1, count)
        found = _values(subject, taken(rows, [row]), runs[row], gone)[:, output]
        means = found.reshape(len(orders), -1).mean(1)
        unit = scale[output] if scale[output] > 0 else 1.0
        gained.append(float(means[1:].mean() - means[0]) / unit)
    mean, (low, high) = mean_interval(np.array(gained))
    return Check(
        name="deletion",
        value=mean,
        passed=low > 0,
        text="Where words are taken out by their parts, largest first, the output falls faster than "
        f"in random orders, by {mean:.2g} deviations (95% interval over {len(gained)} texts "
        f"{low:.2g} to {high:.2g}; above 0 is demanded).",
    )


def of_these_weights(same: float) -> Check:
    """Returns whether words rank otherwise where weights are shuffled."""
    return Check(
        name="weights",
        value=same,
        passed=same <= _UNLIKE,
        text="With the model's weights shuffled, the words of a text rank with a correlation of "
        f"{same:.2f} to these (mean over {SHUFFLES} shuffles; at most {_UNLIKE} is allowed).",
    )
