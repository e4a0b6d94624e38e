"""Columns of text: which are, and what their cells become."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from problems import reviews
from torch import Tensor, nn

from pawl.data import load, read_like, tokens
from pawl.data.tokens import (
    MASK,
    PAD,
    num_ids,
    reads_as_text,
    token_ids,
    train_tokenizer,
    usual_length,
)
from pawl.data.types import Column, Schema
from pawl.errors import DataError, TaskError
from pawl.options import ReadOptions
from pawl.task import Task

TEXTS = list(reviews()["review"])


@pytest.fixture(scope="module")
def tokenizer() -> str:
    return train_tokenizer(TEXTS, len(TEXTS))


def ids(tokenizer: str, texts: Sequence[str], length: int = 64) -> np.ndarray:
    return token_ids(tokenizer, texts, np.arange(len(texts)), length)


def decoded(tokenizer: str, row: np.ndarray) -> list[str]:
    names = {place: token for token, place in json.loads(tokenizer)["model"]["vocab"].items()}
    return [names[place] for place in row if place != PAD]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (TEXTS, True),
        (["which film was the best one", "no idea at all, my friend"], True),
        (["这部电影非常精彩，演员的表演也令人印象深刻", "情节拖沓，没有任何新意，让人失望"], True),
        ([f"Mr. John Smith {n}" for n in range(40)], False),
        ([f"id-{n}" for n in range(40)], False),
        ([f"https://example.org/a/long/path/to/{n}.html" for n in range(40)], False),
        ([f"2024 01 {n} 12 30 45" for n in range(28)], False),
    ],
)
def test_what_reads_as_text(texts: list[str], expected: bool) -> None:
    assert reads_as_text(texts) == expected


def test_a_text_becomes_ids_and_the_schema_reads_new_ones_alike() -> None:
    frame = reviews()
    data = load(Task(data=frame))
    assert [(column.name, column.kind) for column in data.schema.columns] == [
        ("review", "text"),
        ("length", "numeric"),
    ]
    numeric, text = data.schema.inputs
    assert (numeric.name, text.name, text.dtype, text.features) == (
        "numeric", "text", "int64", ("review",),
    )  # fmt: skip
    assert any(f"'review' is read as text, in {text.tokens} tokens" in note for note in data.notes)
    assert data.left_out == ()
    again = read_like(Schema.model_validate_json(data.schema.model_dump_json()), frame)
    seen = {tuple(row) for row in again.inputs["text"].tolist()}
    for part in (data.development, data.test):
        assert part.inputs["text"].shape[1:] == text.shape
        assert 0 <= int(part.inputs["text"].min()) <= int(part.inputs["text"].max()) < text.tokens
        assert {tuple(row) for row in part.inputs["text"].tolist()} <= seen


def test_several_texts_have_an_input_each() -> None:
    frame = reviews()
    frame["reply"] = frame["review"].sample(frac=1, random_state=0).to_numpy()
    schema = load(Task(data=frame)).schema
    assert [(i.name, i.features) for i in schema.inputs if i.tokens] == [
        ("text", ("review",)), ("text_2", ("reply",)),
    ]  # fmt: skip


def test_test_rows_have_no_say_in_the_tokenizer() -> None:
    frame = reviews()
    first = load(Task(data=frame.iloc[:120], test=frame.iloc[120:]))
    odd = frame.iloc[120:].assign(review="zyzzyva quokka numbat axolotl wombat " * 9)
    second = load(Task(data=frame.iloc[:120], test=odd))
    assert first.schema == second.schema


def test_words_are_tokens_whatever_their_case_and_neighbors(tokenizer: str) -> None:
    plain, loud, glued = ids(tokenizer, ["wonderful dull", "WONDERFUL  Dull", "wonderful,dull!"])
    assert (plain == loud).all()
    assert decoded(tokenizer, plain) == ["Ġwonderful", "Ġdull"]
    assert decoded(tokenizer, glued) == ["Ġwonderful", "Ġ", ",", "Ġdull", "Ġ", "!"]


def test_the_same_as_the_library_says_of_the_whole_text(tokenizer: str) -> None:
    library = pytest.importorskip("tokenizers").Tokenizer.from_str(tokenizer)
    for text, row in zip(TEXTS[:20], ids(tokenizer, TEXTS[:20], 256), strict=True):
        spaced = text.lower().replace(".", " .")
        assert library.encode(spaced).ids == row[row != PAD].tolist()


def test_the_same_texts_give_the_same_tokenizer_bounded_by_rows(tokenizer: str) -> None:
    assert train_tokenizer(TEXTS, len(TEXTS)) == tokenizer
    assert num_ids(tokenizer) <= 8 * len(TEXTS)
    many = [f"{a}{b}{c}" for a in "bcdfg" for b in "aeiou" for c in "lmnrs"] * 8
    words = [" ".join(many[i : i + 40]) for i in range(0, len(many), 40)]
    assert num_ids(train_tokenizer(words, 10)) <= 512


@pytest.mark.parametrize(
    "text", ["", "\x00", "\ud800 half", "🦜" * 9, "[PAD] [MASK]", "日本語", "a" * 5000, "é\u0301"]
)
def test_any_text_has_ids(tokenizer: str, text: str) -> None:
    (row,) = ids(tokenizer, [text], 16)
    assert row.shape == (16,)
    assert ((row >= 0) & (row < num_ids(tokenizer))).all()
    assert MASK not in row  # what is reserved is no text's
    assert (row == PAD).all() == (text == "")


def test_of_a_long_text_both_ends_are_kept(tokenizer: str) -> None:
    long = "wonderful " * 30 + "dull " * 30
    (row,) = ids(tokenizer, [long], 7)
    assert decoded(tokenizer, row) == ["Ġwonderful"] * 4 + ["Ġdull"] * 3


def test_how_long_rows_are(tokenizer: str) -> None:
    texts = [" ".join(["dull"] * n) for n in range(1, 101)]
    assert usual_length(tokenizer, texts, 100) == 96  # 95 of a hundred have at most so many
    assert usual_length(tokenizer, ["dull"], 1) == 8
    longest = [" ".join(["dull"] * 3000)]
    assert usual_length(tokenizer, longest, 100) == 1024
    assert usual_length(tokenizer, longest, 100_000) == (1 << 24) // 100_000 // 8 * 8
    assert usual_length(tokenizer, longest, 10**7) == 64


def test_missing_and_empty_cells_are_padding_alone() -> None:
    frame = reviews()
    frame.loc[3, "review"] = None
    frame.loc[4, "review"] = "  "
    data = load(Task(data=frame))
    assert data.schema.columns[0].missing
    read = read_like(data.schema, frame.iloc[2:6]).inputs["text"]
    assert [bool((row == PAD).all()) for row in read] == [False, True, True, False]


def frame_with(texts: Sequence[Any]) -> pd.DataFrame:
    return pd.DataFrame({"x": range(len(texts)), "c": texts, "target": [0, 1] * (len(texts) // 2)})


def test_what_the_user_says_of_a_column_goes() -> None:
    short = [f"item {n}" for n in range(40)]
    assert "c" in load(Task(data=frame_with(short))).left_out
    asked = load(Task(data=frame_with(short), read=ReadOptions(types={"c": "text"})))
    assert asked.schema.columns[1].kind == "text"
    texts = TEXTS[:40]
    codes = load(Task(data=frame_with(texts), read=ReadOptions(types={"c": "categorical"})))
    assert codes.schema.columns[1].kind == "categorical"
    ignored = load(Task(data=frame_with(texts), read=ReadOptions(ignore="c")))
    assert ignored.left_out == ("c",)
    numbers = load(Task(data=frame_with([*range(40)]), read=ReadOptions(types={"c": "text"})))
    assert numbers.schema.columns[1].kind == "text"


def test_a_column_that_is_empty_everywhere_is_no_text() -> None:
    empty = frame_with([""] * 40)
    assert load(Task(data=empty)).left_out == ("c",)
    with pytest.raises(DataError, match="got the type text for column 'c', but none of its cells"):
        load(Task(data=empty, read=ReadOptions(types={"c": "text"})))
    with pytest.raises(DataError, match=r"no feature column is left .*every cell is missing"):
        load(Task(data=empty[["c", "target"]]))
    same = load(
        Task(
            data=frame_with(["the same five words again"] * 40), read=ReadOptions(types=["c=text"])
        )
    )
    assert same.left_out == ("c",)


class Reads(nn.Module):
    """A user's model of texts and numbers."""

    def __init__(self, spec: Any) -> None:
        super().__init__()
        sizes = {each.name: each for each in spec.inputs}
        self.embedding = nn.Embedding(sizes["text"].tokens, 4)
        self.out = nn.Linear(4 + sizes["numeric"].shape[0], spec.num_outputs)

    def forward(self, numeric: Tensor, text: Tensor) -> Tensor:
        return self.out(torch.cat([numeric, self.embedding(text).mean(1)], 1))


def test_a_users_model_gets_texts_if_they_are_asked_for() -> None:
    from pawl.training.problem import Problem

    frame = reviews()
    plain = load(Task(data=frame, model=lambda spec: nn.Linear(spec.num_features, 2)))
    assert plain.left_out == ("review",)
    assert any("types (review=text) gives them to the model" in note for note in plain.notes)
    task = Task(data=frame, model=Reads, read=ReadOptions(types={"review": "text"}))
    problem = Problem.of(task, load(task))
    rows = problem.examples.take(torch.arange(3)).inputs
    assert problem.builder(0)(rows).shape == (3, 2)
    wrong = Task(data=frame, model=lambda spec: nn.Linear(spec.num_features, 2), read=task.read)
    with pytest.raises(TaskError, match="for a table without texts or windows"):
        Problem.of(wrong, load(wrong))


def test_without_the_library_texts_are_left_out_and_asking_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    tokens._loaded.cache_clear()
    data = load(Task(data=reviews()))
    assert data.left_out == ("review",)
    assert any("pip install 'pawl[text]' reads them" in note for note in data.notes)
    with pytest.raises(DataError, match=r"install it with pip install 'pawl.text.'"):
        load(Task(data=reviews(), read=ReadOptions(types={"review": "text"})))


def test_a_text_without_a_tokenizer_is_refused_and_so_is_a_broken_one() -> None:
    with pytest.raises(ValueError, match="the column 'a' has no tokenizer"):
        Column(name="a", kind="text")
    with pytest.raises(ValueError, match="the column 'a' has one, and is no text"):
        Column(name="a", kind="numeric", tokenizer="{}")
    schema = load(Task(data=reviews())).schema
    broken = schema.columns[0].model_copy(update={"tokenizer": "{}"})
    damaged = schema.model_copy(update={"columns": (broken, *schema.columns[1:])})
    with pytest.raises(DataError, match="the tokenizer of a text column cannot be read") as caught:
        read_like(damaged, reviews())
    assert "\n" not in str(caught.value)
