"""The chapter of words: texts with what speaks for a prediction in one color, against it in another."""

from __future__ import annotations

import numpy as np

from pawl.explaining.chapters import Block, Chapter, Colored, failed
from pawl.explaining.result import Text, Texts
from pawl.report.figures import Table
from pawl.report.text import capital, clean, number

_TEXTS, _LISTED = 8, 10
_LEVELS = (0.15, 0.4, 0.7)
"""Shares of a text's largest part, from which on a word has a color, and stronger ones."""


def words(found: Texts, looks: Texts | None = None) -> Chapter:
    """Returns the chapter: what words add, and where attention looks."""
    blocks = [_block(each) for each in (found, looks) if each is not None]
    return Chapter(
        name="words",
        title="Which words speak for it",
        lead="Orange words speak for the class or value that is named above them, blue ones against it, "
        "strong colors more than pale ones; each text has its own scale.",
        blocks=blocks,
    )


def _block(found: Texts) -> Block:
    wrong = failed(found.checks)
    shown = [] if wrong else found.texts[:_TEXTS]
    return Block(
        title=capital(found.method),
        lead=found.detail,
        failed=wrong,
        texts=[_colored(each) for each in shown],
        tables=[] if wrong else [_commonest(found)],
    )


def _colored(text: Text) -> Colored:
    largest = max((abs(word.value) for word in text.words), default=0.0) or 1.0
    several = len({word.column for word in text.words}) > 1
    colored, column = [], ""
    for word in text.words:
        if several and word.column != column:
            column = word.column
            colored.append((f"{clean(column)}:", "", ""))
        level = sum(abs(word.value) / largest >= least for least in _LEVELS)
        style = f"{'f' if word.value > 0 else 'a'}{level}" if level else ""
        colored.append((clean(word.text), style, number(word.value, signed=True)))
    title = f"Row {text.row + 1}: {clean(text.output)} {number(text.prediction)}"
    return Colored(title=title, words=colored)


def _commonest(found: Texts) -> Table:
    """Returns the words with the largest parts over all texts that have them."""
    parts: dict[tuple[str, str], list[float]] = {}
    for text in found.texts:
        for word in text.words:
            parts.setdefault((text.output, word.text), []).append(word.value)
    ranked = sorted(parts.items(), key=lambda item: -abs(float(np.sum(item[1]))))[:_LISTED]
    rows = [
        (clean(word), clean(output), number(float(np.mean(values)), signed=True), str(len(values)))
        for (output, word), values in ranked
    ]
    return Table(
        heads=("Words", "Output", "Mean part", "Times"),
        rows=rows,
        note=f"Those with the largest sums of parts in {len(found.texts)} texts.",
    )
