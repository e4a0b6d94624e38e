"""Campaigns whose targets lie on places: a language model, tags of padded sequences, masks, images."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, jaccard_score, log_loss, root_mean_squared_error
from terminal import run_here

import pawl
from pawl import pacing
from pawl.kinds import NOTHING

ROWS, TEST = 160, 60
MODULE = """
import torch
from torch import nn
from torch.nn import functional as F

import pawl


class Language(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.embedding, self.inner = nn.Embedding(8, 12), nn.Linear(24, 16)
        self.act, self.head = nn.ReLU(), nn.Linear(16, 8)  # more classes than the targets have

    def forward(self, x):
        h = self.embedding(x)
        before = F.pad(h, (0, 0, 1, 0))[:, :-1]
        return self.head(self.act(self.inner(torch.cat([h, before], -1))))


class Tags(Language):
    def forward(self, words, words_mask):
        out = super().forward(words)
        return {"hidden": out, "logits": out[..., :3] * words_mask.unsqueeze(-1)}


class Masks(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.inner, self.act, self.out = nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 1, 1)

    def forward(self, x):
        return self.out(self.act(self.inner(x)))


def loss(outputs, targets):
    return F.cross_entropy(outputs["logits"].flatten(0, 1), targets.flatten(), ignore_index=-100)


MODELS = {"language": Language, "tags": Tags, "masks": Masks, "values": Masks}
"""


def rows(what: str, count: int = ROWS, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays of a made-up task that can be learned."""
    generator = np.random.default_rng(seed)
    if what == "language":  # the next is the sum of the last two, mostly
        tokens = generator.integers(0, 5, (count, 9))
        for step in range(2, 9):
            sums = (tokens[:, step - 1] + tokens[:, step - 2]) % 5
            tokens[:, step] = np.where(generator.random(count) < 0.9, sums, tokens[:, step])
        return {"x": tokens[:, :-1], "target": tokens[:, 1:]}
    if what == "tags":
        words, there = generator.integers(1, 8, (count, 7)), generator.integers(2, 8, count)
        mask = np.arange(7) < there[:, None]
        return {
            "words": words * mask, "words_mask": mask.astype(int),
            "target": np.where(mask, words % 3, NOTHING),
        }  # fmt: skip
    images = generator.normal(size=(count, 1, 6, 6)).astype(np.float32)
    signal = images[:, 0] + 0.5 * np.roll(images[:, 0], 1, axis=1)
    noise = 0.3 * generator.normal(size=signal.shape)
    return {
        "x": images,
        "target": (signal + noise > 0.8).astype(int) if what == "masks" else 50 * signal,
    }


def score(what: str, actual: np.ndarray, predicted: dict[str, np.ndarray]) -> float:
    if what == "values":
        return float(root_mean_squared_error(actual.ravel(), predicted["prediction"].ravel()))
    there = actual != NOTHING
    p, labels = predicted["probabilities"][there], predicted["prediction"][there]
    if what == "language":
        return math.exp(log_loss(actual[there], p, labels=list(range(p.shape[-1]))))
    if what == "masks":
        return float(jaccard_score(actual[there], labels, average="macro"))
    return float(accuracy_score(actual[there], labels))


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    code, said, errors = run_here(capfd, *arguments)
    assert code == 0, errors
    return said


@pytest.mark.parametrize(
    ("what", "kind", "metric", "best"),
    [
        ("language", "sequence", "perplexity", 3.5),
        ("tags", "sequence", "accuracy", 0.8),
        ("masks", "dense", "mean_iou", 0.5),
        ("values", "dense_regression", "rmse", 40.0),
    ],
)
def test_by_command(
    what: str,
    kind: str,
    metric: str,
    best: float,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pacing.sizes, "_STEPS", 60)
    np.savez(tmp_path / "rows.npz", **rows(what))
    np.savez(tmp_path / "test.npz", **rows(what, TEST, 1))
    more = f"metric={metric!r}" if what == "tags" else ""
    more += ", loss=loss" if what == "tags" else ""
    module = MODULE + textwrap.dedent(
        f"""
        task = pawl.Task(data="rows.npz", test="test.npz", model=MODELS[{what!r}], {more})
        """
    )
    (tmp_path / "module.py").write_text(module)
    more_techniques = {"masks": ",mixup,label_smoothing", "values": ",mixup,noise"}.get(
        what, ",label_smoothing" if what == "language" else ""
    )
    recipe = pawl.Recipe.of(batch_size={"size": 32}, adamw={"learning_rate": 0.02})
    (tmp_path / "start.toml").write_text(recipe.to_toml())
    out = tmp_path / "out"
    run(
        capfd, "optimize", tmp_path / "module.py", "--trials", 4, "--out", out,
        "--baseline", tmp_path / "start.toml", "--only", f"adamw,dropout{more_techniques}",
    )  # fmt: skip
    summary = pawl.load(out).summary
    assert (summary.task.kind, summary.metric) == (kind, metric)
    run(capfd, "predict", out, tmp_path / "test.npz", "--out", tmp_path / "predicted.npz")
    with np.load(tmp_path / "predicted.npz") as file:
        predicted = dict(file)
    actual = rows(what, TEST, 1)["target"]
    value = score(what, actual, predicted)
    assert value == pytest.approx(summary.final.value, rel=1e-3)
    assert (value < best) if summary.direction == "minimize" else (value > best)
    code, _, errors = run_here(
        capfd, "predict", out, tmp_path / "test.npz", "--out", tmp_path / "p.csv"
    )
    assert code == 2
    assert "must end in .npz, since predictions lie on places" in " ".join(errors.split())


class TestRefused:
    """Models whose outputs do not lie on the targets' places."""

    def test_another_size(self) -> None:
        from torch import nn

        data = rows("masks")
        task = pawl.Task(data=(data["x"], data["target"]), model=lambda: nn.Conv2d(1, 1, 3))
        with pytest.raises(
            pawl.PawlError, match=r"which has \[4, 4\] places a row; targets have \[6, 6\]"
        ):
            pawl.optimize(task, trials=2)

    def test_another_rank(self) -> None:
        from torch import nn

        data = rows("masks")
        task = pawl.Task(
            data=(data["x"], data["target"]),
            model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 36)),
        )
        with pytest.raises(
            pawl.PawlError, match=r"for dense it must be \[B, 2, height, width\] or"
        ):
            pawl.optimize(task, trials=2)
