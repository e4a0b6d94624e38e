"""Bundles of texts and of sequences: raw rows in, and what does not fit refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from problems import member, plain, reviews, waves

import pawl
from pawl.data import load
from pawl.deployment import Bundle, write_bundle
from pawl.deployment.bundle import FILES, MANIFEST, manifest_of
from pawl.errors import BundleError, DataError
from pawl.execution import Job, Plan, TrainingWay, train_all
from pawl.ledger import Ledger
from pawl.recipe import Recipe
from pawl.report.card import card
from pawl.report.summary import Summary
from pawl.task import Task
from pawl.training.problem import Problem
from pawl.training.trained import blended, from_outcome

LENGTHS = (12, 20)


def bundle(task: Task, folder: Path, *recipes: Recipe) -> Bundle:
    """Trains a little, and leaves a bundle as a campaign does."""
    data = load(task)
    problem = Problem.of(task, data)
    jobs = [Job(member(recipe, n, epochs=6), keep=True) for n, recipe in enumerate(recipes)]
    results = train_all(problem, jobs, lambda _: Plan(TrainingWay("serial", 1), "for the test"))
    predictor = blended([from_outcome(problem, result.outcome) for result in results])
    graph = predictor.graph(data.development.take(torch.arange(4)))
    with Ledger.create(folder, {}) as ledger:
        return write_bundle(
            ledger, schema=data.schema, graph=graph, predictor=predictor,
            recipe=recipes[0].to_toml(), task={}, card="# a card\n",
        )  # fmt: skip


def same_as_module(found: Bundle, source: Any) -> None:
    rows, module = found.read(source), found.module()
    with torch.no_grad():
        got = module(*rows.inputs.values()).numpy()
    np.testing.assert_allclose(got, found.predict_raw(rows), rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A network that reads by attention, and counted tokens."""
    adam = plain().with_("adam", learning_rate=0.01)
    net = adam.with_("encoder", kind="attention").with_("token_dropout")
    lines = Recipe.of(standardize={}, linear={"penalty": 0.1})
    return bundle(Task(data=reviews()), tmp_path_factory.mktemp("texts") / "one", net, lines)


@pytest.fixture
def changed(texts: Bundle, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """Returns a copy of a bundle with another `task.json`, its manifest true."""

    def make(change: Callable[[dict[str, Any]], None]) -> Path:
        copy = Path(shutil.copytree(texts.folder, tmp_path / "copy"))
        task = json.loads((copy / "task.json").read_text())
        change(task["schema"]["columns"][0])
        (copy / "task.json").write_text(json.dumps(task))
        (copy / MANIFEST).write_bytes(manifest_of({n: (copy / n).read_bytes() for n in FILES}))
        return copy

    return make


def test_a_bundle_takes_raw_texts_of_any_sort(texts: Bundle) -> None:
    said = ["Lana wonderful moving superb soke.", "lana DULL, tedious: awful", "", None]
    odd = ["\x00\ud800🦜", "superb " * 5000]
    frame = pd.DataFrame(
        {
            "review": pd.Series([*said, *odd], dtype=object),
            "length": [0.5, 0.5, 0.5, None, "n/a", 0.5],
        }
    )
    found = texts.predict(frame)
    assert found["p_good"][0] > found["p_good"][1] + 0.05
    assert found["p_good"].between(0, 1).all()
    same_as_module(texts, frame)
    read = texts.read(reviews())
    alone = texts.predict_raw(read.take(torch.arange(1)))
    np.testing.assert_allclose(alone, texts.predict_raw(read)[:1], rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match="the table has no column 'review'"):
        texts.predict(frame[["length"]])


def test_a_bundle_without_its_tokenizer_is_refused(changed: Any) -> None:
    folder = changed(lambda column: column.pop("tokenizer"))
    with pytest.raises(BundleError, match="'review' has no tokenizer") as caught:
        Bundle.open(folder)
    assert "\n" not in str(caught.value)


def test_a_bundle_with_a_broken_tokenizer_says_so(changed: Any) -> None:
    folder = changed(lambda column: column.update(tokenizer='{"model": 1}'))
    with pytest.raises(DataError, match="the tokenizer of a text column cannot be read"):
        Bundle.open(folder).predict(reviews())


def test_a_tokenizer_of_more_tokens_than_the_graph_has_is_refused(changed: Any) -> None:
    def more(column: dict[str, Any]) -> None:
        content = json.loads(column["tokenizer"])
        vocabulary = content["model"]["vocab"]
        content["model"]["vocab"] = {token: at + 5000 for token, at in vocabulary.items()}
        content["added_tokens"] = []
        column["tokenizer"] = json.dumps(content)

    with pytest.raises(
        BundleError, match=r"cannot take rows of this schema .* take the bundle anew"
    ):
        Bundle.open(changed(more)).predict(reviews())


@pytest.mark.parametrize("kind", ["bag", "convolution", "recurrent", "attention"])
def test_numbers_over_time_keep_their_shape(kind: str, tmp_path: Path) -> None:
    recipe = plain(batch_norm={}) if kind != "attention" else plain()
    found = bundle(Task(data=waves()), tmp_path / "one", recipe.with_("encoder", kind=kind))
    inputs, _ = waves(8)
    same_as_module(found, inputs)
    with pytest.raises(DataError, match=r"rows of shape \[19, 2\]; \[20, 2\] is needed"):
        found.predict(inputs[:, :19])


def test_rows_of_unlike_lengths_are_told_by_a_mask(tmp_path: Path) -> None:
    inputs, targets = waves()
    generator = np.random.default_rng(1)
    rows = [row[: generator.integers(*LENGTHS)] for row in inputs]
    found = bundle(
        Task(data=(rows, targets)), tmp_path / "one", plain(encoder={"kind": "recurrent"})
    )
    assert [spec.is_mask for spec in found.schema.inputs] == [False, True]
    whole = found.predict_raw(found.read(rows))
    # What is behind a row's end changes nothing.
    read = found.read(rows)
    padded = read.inputs["x"].clone()
    padded[read.inputs["x_mask"] == 0] = 9.0
    moved = type(read)({"x": padded, "x_mask": read.inputs["x_mask"]}, None)
    np.testing.assert_allclose(found.predict_raw(moved), whole, rtol=1e-4, atol=1e-5)
    assert found.predict_raw(found.read([rows[0][:3]])).shape == (1, 2)
    with pytest.raises(DataError, match="a row of length 40; the longest allowed is"):
        found.predict([np.zeros((40, 2), dtype=np.float32), *rows[:2]])


def test_a_campaign_on_texts_beats_a_constant_and_its_card_tells_of_tokens(tmp_path: Path) -> None:
    out = tmp_path / "out"
    frame = reviews(260)
    result = pawl.optimize(
        frame, families=["linear"], trials=20, epochs=3, seed=1, out=out, executor="inline"
    )
    found = result.predict(frame.drop(columns="target"))
    assert np.mean(found["prediction"] == frame["target"]) >= 0.9
    summary = Summary.model_validate_json((out / "summary.json").read_text())
    assert "token ids by the tokenizer" in card(summary, "")
