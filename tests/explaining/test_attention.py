"""Where attention looks: known weights, padding, and a bundle of texts from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from problems import plain, reviews
from torch import Tensor, nn

import pawl
from pawl.data import load
from pawl.data.types import Inputs
from pawl.deployment import Bundle
from pawl.execution import Job, Plan, TrainingWay, train_all
from pawl.explaining.attention import attention, looked_at
from pawl.explaining.subject import Subject
from pawl.models.readers import Attention, Attentive, Steps
from pawl.task import Task
from pawl.training.population import Member
from pawl.training.problem import Problem
from pawl.training.trained import from_outcome

TOKENS = 6


class Body(nn.Module):
    """Embeds, attends and adds up."""

    def __init__(self, steps: int = TOKENS) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.steps = Steps(9, 0)
        self.core = Attentive(steps, self.steps.width, 8, 3)

    def forward(self, inputs: Inputs) -> Tensor:
        return self.core(*self.steps(inputs["text"], None)).sum(1, keepdim=True)


class Whole(nn.Module):
    """As much of a pipeline as is needed."""

    names = ("text",)

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, text: Tensor) -> Tensor:
        return self.body({"text": text})


def looks(body: nn.Module, ids: list[int], monkeypatch) -> np.ndarray:
    whole = Whole(body)
    monkeypatch.setattr("pawl.explaining.attention.members_of", lambda _: [(whole, 1.0)])
    return looked_at(whole, {"text": torch.tensor([ids])}, len(ids))


def test_it_sums_to_one_and_padding_is_not_looked_at(monkeypatch) -> None:
    found = looks(Body(), [3, 4, 5, 0, 0, 0], monkeypatch)
    assert found.sum() == 1.0 or abs(found.sum() - 1.0) < 1e-6
    assert not found[3:].any()
    assert (found[:3] > 0).all()
    assert np.ptp(found[:3]) > 0


def test_attention_that_is_the_same_everywhere_looks_at_all_words_alike(monkeypatch) -> None:
    body = Body()
    for module in body.modules():
        if isinstance(module, Attention):
            nn.init.zeros_(module.query_key_value.weight)
            nn.init.zeros_(module.query_key_value.bias)
    found = looks(body, [3, 4, 5, 6, 0, 0], monkeypatch)
    np.testing.assert_allclose(found, [0.25] * 4 + [0.0] * 2, atol=1e-6)


def test_steps_that_were_joined_share(monkeypatch) -> None:
    long = [1 + place % 8 for place in range(256)]
    found = looks(Body(256), long, monkeypatch)
    np.testing.assert_allclose(found[::2], found[1::2])
    assert abs(found.sum() - 1.0) < 1e-6


def test_a_bundle_of_texts_says_where_it_looks_or_which_check_failed(tmp_path: Path) -> None:
    table = reviews(160).drop(columns="length")
    bundle = _bundle(table, tmp_path / "campaign")
    explained = pawl.explain(bundle, table.head(60), rows=3)
    found = explained.explanation.attention
    assert found is not None
    assert found.method == "attention"
    assert {check.name for check in found.checks} == {"deletion", "weights"}
    for text in found.texts:
        assert sum(word.value for word in text.words) <= 1.0 + 1e-6
        assert all(word.value >= 0 for word in text.words)
    assert ("Attention" in explained.html) or any(not check.passed for check in found.checks)
    plain_net = _bundle(table, tmp_path / "plain", kind="bag")
    rows = plain_net.read(table.head(5)).inputs
    subject, pipeline = Subject.of(plain_net), plain_net.module(None)
    assert attention(subject, rows, rows, pipeline, seed=0) is None


def _bundle(table: pd.DataFrame, folder: Path, kind: str = "attention") -> Bundle:
    """A bundle of one network with such an encoder, trained a little."""
    from pawl.deployment import write_bundle
    from pawl.ledger import Ledger

    task = Task(data=table)
    data = load(task)
    problem = Problem.of(task, data)
    recipe = plain(encoder={"kind": kind})
    order = torch.randperm(len(data.development), generator=torch.Generator().manual_seed(0))
    member = Member(recipe, 0, order[32:], order[:32], 4)
    plan = Plan(TrainingWay("serial", 1), "for the test")
    (result,) = train_all(problem, [Job(member, keep=True)], lambda _: plan)
    trained = from_outcome(problem, result.outcome)
    graph = trained.graph(data.development.take(torch.arange(4)))
    with Ledger.create(folder, {}) as ledger:
        return write_bundle(
            ledger, schema=data.schema, graph=graph, predictor=trained, recipe=recipe.to_toml(),
            task={"name": "reviews", "metric": "roc_auc"}, card="# a card\n",
        )  # fmt: skip
