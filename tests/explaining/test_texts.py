"""Which words of a text speak for a prediction, of functions whose answer is known, and of a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from bundles import bundle_of
from problems import reviews

import pawl
from pawl.data import load
from pawl.data.tokens import words_of
from pawl.data.types import Examples
from pawl.explaining.effort import Effort
from pawl.explaining.subject import Subject
from pawl.explaining.texts import texts
from pawl.task import Task

HOSTILE = "<script>alert('a')</script> & \x1b[31m a wonderful superb moving piece of la mo ti"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return reviews(80)


def counted(rows: pd.DataFrame) -> tuple[Subject, Examples]:
    """A model that counts one word for and one against the second class."""
    data = load(Task(data=rows.drop(columns="length")))
    tokenizer = data.schema.columns[0].tokenizer

    def predict(examples: Examples) -> np.ndarray:
        found = []
        for row in examples.inputs["text"].tolist():
            words = [word for word, _ in words_of(tokenizer, row)]
            said = words.count("superb") - 2 * words.count("awful")
            found.append(1 / (1 + np.exp(-said)))
        second = np.array(found, dtype=np.float32)
        return np.stack([1 - second, second], 1)

    return Subject(data.schema, predict), data.development


def test_parts_are_those_of_the_words_that_count(rows):
    subject, examples = counted(rows)
    found = texts(
        subject,
        examples.take(torch.arange(12)).inputs,
        examples.inputs,
        None,
        seed=0,
        effort=Effort(),
    )
    for text in found.texts:
        assert text.output == subject.outputs[1]
        for word in text.words:
            sign = {"superb": 1, "awful": -1}.get(word.text, 0)
            assert np.sign(word.value) == sign or word.text in ("superb", "awful")
            assert sign == 0 or sign * word.value > 0
    (check,) = found.checks
    assert check.name == "deletion"
    assert check.passed


def test_a_model_that_reads_nothing_fails_its_check(rows):
    subject, examples = counted(rows)
    blind = Subject(subject.schema, lambda e: np.full((len(e), 2), 0.5, dtype=np.float32))
    found = texts(
        blind, examples.take(torch.arange(5)).inputs, examples.inputs, None, seed=0, effort=Effort()
    )
    assert [check.passed for check in found.checks] == [False]


def test_words_of_long_texts_go_together(rows):
    long = rows.assign(review=[" ".join([text] * 30) for text in rows["review"]])
    subject, examples = counted(long)
    found = texts(
        subject,
        examples.take(torch.arange(2)).inputs,
        examples.inputs,
        None,
        seed=0,
        effort=Effort(),
    )
    assert all(40 < len(text.words) <= 120 for text in found.texts)
    assert max(len(word.text.split()) for word in found.texts[0].words) > 1


def test_texts_without_words_are_said(rows):
    subject, examples = counted(rows)
    empty = {name: torch.zeros_like(x) for name, x in examples.inputs.items()}
    said = texts(subject, empty, examples.inputs, None, seed=0, effort=Effort())
    assert said == "no row has a text of 4 words or more"


@pytest.mark.parametrize("alone", [False, True])
def test_a_bundle_of_texts_is_explained_in_colored_words(rows, tmp_path: Path, alone: bool):
    table = reviews(160)
    table = table.drop(columns="length") if alone else table
    bundle = bundle_of(Task(data=table), tmp_path / "campaign", epochs=25)
    asked = table.head(60).copy()
    asked.loc[0, "review"] = HOSTILE
    explained = pawl.explain(bundle, asked, rows=6, seed=1)
    found = explained.explanation
    assert found.importance is not None
    assert "review" in [each.name for each in found.importance.features if each.interval[0] > 0]
    assert found.errors is not None
    assert all(each.texts for each in found.errors.worst)
    assert found.robustness[0].cells.endswith("words' tokens")
    assert found.texts is not None
    checks = {check.name: check for check in found.texts.checks}
    assert set(checks) == {"deletion", "weights"}
    assert checks["deletion"].value > 0
    assert checks["weights"].passed
    said = {"wonderful", "moving", "superb", "dull", "tedious", "awful"}
    words = [word for text in found.texts.texts[1:] for word in text.words]
    sizes = {
        own: np.mean([abs(word.value) for word in words if (word.text in said) == own])
        for own in (True, False)
    }
    assert sizes[True] > 1.5 * sizes[False]
    # What fails a check is not drawn.
    assert ('class="f3"' in explained.html) == checks["deletion"].passed
    assert checks["deletion"].passed or not alone
    assert "<script" not in explained.html
    assert "&lt;" in explained.html or not checks["deletion"].passed
    assert "\x1b" not in explained.html
