"""`compress` from a bundle and rows to a bundle: by Python and the command line, and what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from bundles import bundle_of as bundle_of_task
from bundles_to_compress import bundle_of, rows, work_on
from problems import frame, plain
from terminal import run_here as run
from torch import Tensor, nn

import pawl
from pawl import Task
from pawl.compression import distilling, students, trainable, tuning, units
from pawl.compression.candidate import Candidate, Weights
from pawl.compression.lessons import lessons, soft_labels
from pawl.compression.rows import given_rows
from pawl.compression.run import _lost_before, _on_top
from pawl.compression.work import Gain
from pawl.data import ModelSpec, load, read_like, resolve_task
from pawl.deployment import Bundle
from pawl.deployment.bundle import FILES, MANIFEST
from pawl.deployment.export import predict
from pawl.deployment.predictions import unshifted
from pawl.deployment.records import measured_of
from pawl.errors import BundleError, LimitError
from pawl.kinds import Conformal
from pawl.ledger import Ledger
from pawl.models import members_of, tempered, thinned
from pawl.options.amounts import MaxLoss
from pawl.pacing import sizes
from pawl.recipe import Recipe
from pawl.training.problem import Problem

TREES = Recipe.of(lightgbm={"rounds": 20})


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks and two models of trees."""
    folder = tmp_path_factory.mktemp("ensemble") / "campaign"
    recipes = (plain(), TREES)
    return bundle_of(folder, recipes, seeds=2, shift=0.3, metric="accuracy").folder


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(tmp_path_factory.mktemp("single") / "campaign").folder


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "_STEPS", 20)
    monkeypatch.setattr(tuning, "_STEPS", 10)
    monkeypatch.setattr(units, "_ROUNDS", 3)
    monkeypatch.setattr(trainable, "_STEPS", 10)


@pytest.fixture(scope="module")
def others() -> Any:
    """Rows that no bundle here was trained on."""
    return rows(1600, 1)


def test_a_thinned_graph_predicts_the_mean_of_its_members(ensemble: Path, others: Any) -> None:
    bundle = Bundle.open(ensemble)
    examples = read_like(bundle.schema, others.head(50))
    model = onnx.load(ensemble / "model.onnx")
    shares = members_of(model)
    assert shares == pytest.approx([0.25] * 4)
    module = bundle.module()
    for kept in ([0, 1, 2, 3], [3], [0, 2]):
        got = predict(thinned(model, kept).SerializeToString(), examples)
        inputs = [examples.inputs[name] for name in module.names]
        with torch.no_grad():
            each = torch.stack([module.members[at](*inputs) for at in kept])
            expected = tempered(each.mean(0), 1.0, 0.3)
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_an_ensemble_gets_smaller_and_its_bundle_is_whole(
    ensemble: Path, others: Any, tmp_path: Path
) -> None:
    found = pawl.compress(ensemble, others, max_loss=0.1, out=tmp_path / "small")
    assert found.is_changed
    assert found.steps[0].step == "members"
    (members,) = [step for step in found.kept if step.step == "members"]
    assert members.loss_at_most is not None
    assert members.loss_at_most < found.allowed == 0.1
    assert found.original.size_bytes / found.final.size_bytes > 1.5
    levels = [step.level for step in found.steps if step.level is not None]
    assert levels[0] == pytest.approx(1 - 0.05 / 3)
    assert levels == sorted(levels)
    assert sum(1 - level for level in set(levels)) < 0.05
    usual = [step.step for step in found.steps if not step.order]
    assert usual[-2:] == ["shared weights", "float16"]
    made = found.bundle()
    assert {path.name for path in made.folder.iterdir()} == {*FILES, MANIFEST}
    graph = (made.folder / "model.onnx").read_bytes()
    assert len(graph) == found.final.size_bytes
    # What is in the bundle predicts as the record says, and the threshold is undone for people.
    table = made.predict(others.head(20))
    assert list(table.columns) == ["prediction", "p_no", "p_yes"]
    assert made.task["shift"] == 0.3
    kept = len(Weights.read(made.folder / "model.safetensors").parts)
    assert kept < 4
    assert "## Compressed" in (made.folder / "card.md").read_text()
    if made.task["compressed"]["exact"]:
        assert type(made.module()).__name__ == "Averaged"
    record = json.loads((tmp_path / "small" / "compress.json").read_text())
    assert record["steps"][0]["step"] == "members"
    assert record["statement"] == found.statement
    assert record["front"]


def test_the_command_line_says_what_was_kept_and_why(
    single: Path, others: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "rows.csv"
    others.to_csv(data, index=False)
    out = tmp_path / "out"
    most = int(0.55 * (single / "model.onnx").stat().st_size)
    code, text, _ = run(capfd, "compress", single, data, "--max-loss", "5%", "--out", out,
                        "--max-size", most)  # fmt: skip
    assert code == 0
    assert "times as small" in text
    assert "800 of the 1,600 rows given judge" in text
    made = Bundle.open(out)
    # Only size counted: steps end where the limit is kept, here with what trains nothing.
    steps = [each["step"] for each in made.task["compressed"]["steps"]]
    assert steps[0] == "graph"
    assert steps[-1] in ("int8", "int8 weights", "float16")
    if not made.task["compressed"]["exact"]:
        with pytest.raises(BundleError, match="was quantized, pruned or factored, which no module"):
            made.module()


def test_a_campaigns_own_rows_are_known_and_the_look_is_on_record(tmp_path: Path) -> None:
    folder = tmp_path / "trained"
    pawl.train(frame(1500), plain(), out=folder, metric="accuracy")
    assert measured_of(folder / "bundle")["latency_ms"] > 0
    known = given_rows(Bundle.open(folder), frame(1500), 0)
    assert known.own
    assert (len(known.judge), len(known.work)) == (300, 1200)
    with Ledger.open(folder) as ledger:
        assert ledger.test_touches == 2
    # A bundle that was made of it knows where from.
    pawl.compress(folder, frame(1500), max_loss="20%", out=tmp_path / "small")
    again = given_rows(Bundle.open(tmp_path / "small"), frame(1500), 0)
    assert (again.own, again.campaign) == (True, folder)
    other = given_rows(Bundle.open(folder), frame(1490), 0)
    assert not other.own
    assert "not the data of its campaign" in other.told


def test_losses_of_compressions_one_after_the_other_add_up_and_are_said(
    single: Path, others: Any, tmp_path: Path
) -> None:
    size = (single / "model.onnx").stat().st_size
    first = pawl.compress(
        single, others, max_loss="10%", max_size=int(0.6 * size), out=tmp_path / "first"
    )
    assert first.notes == ()
    assert first.lost_at_most == first.kept[-1].loss_at_most
    less = int(0.85 * first.final.size_bytes)
    then = pawl.compress(
        tmp_path / "first", others, max_loss="10%", max_size=less, out=tmp_path / "then"
    )
    assert then.is_changed
    assert then.lost_at_most == first.lost_at_most + then.kept[-1].loss_at_most
    (note,) = then.notes
    assert note.startswith(
        "the bundle given was compressed before, when it may have lost "
        f"{first.lost_at_most:.3g} of roc_auc"
    )
    assert f"from the first one on, it may have lost {then.lost_at_most:.3g} of roc_auc" in note
    assert note.removesuffix("compress that")[1:] in (then.bundle().folder / "card.md").read_text()
    assert _lost_before(Bundle.open(tmp_path / "then"), "roc_auc") == then.lost_at_most
    assert _lost_before(Bundle.open(tmp_path / "then"), "accuracy") is None
    assert "given was compressed before; what may be lost counts" in _on_top(None, 0.1, "accuracy")
    assert "when it gained at least 0.03 of accuracy" in _on_top(-0.03, 0.01, "accuracy")


def test_where_nothing_helps_the_bundle_is_the_one_given(
    single: Path, others: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gain, "is_worth", lambda *_: False)
    found = pawl.compress(single, others, max_loss="10%", out=tmp_path / "same")
    assert not found.is_changed
    assert found.statement.startswith("Nothing helps here")
    assert found.final == found.original
    for name in FILES:
        assert (tmp_path / "same" / "bundle" / name).read_bytes() == (single / name).read_bytes()


def test_a_limit_that_cannot_be_kept_is_one_line_with_the_nearest(
    single: Path, others: Any, tmp_path: Path
) -> None:
    out = tmp_path / "near"
    with pytest.raises(
        LimitError, match=r"max_size='100b': the nearest has [\d,]+ bytes"
    ) as caught:
        pawl.compress(single, others, max_loss="10%", max_size="100b", out=out)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3
    Bundle.open(out)
    assert (out / "compress.json").is_file()


def test_one_network_is_taught_by_all(ensemble: Path, others: Any) -> None:
    bundle = Bundle.open(ensemble)
    weights = Weights.read(ensemble / "model.safetensors")
    assert students.leading(weights) == plain()
    assert students.leading(weights.only([2, 3])) is None
    parts = given_rows(bundle, others, 0)
    graph = (ensemble / "model.onnx").read_bytes()
    work, original = work_on(
        bundle.schema, parts.work, graph, weights, allowed=MaxLoss(0.2, relative=False), shift=0.3
    )
    every = distilling.distilled(work, original)
    assert [len(each.graph) for each in every] == sorted(
        (len(each.graph) for each in every), reverse=True
    )
    student = every[0]
    assert student.detail == "one network, taught by the 4 models"
    assert len(student.weights.parts) == 1
    assert 0.0 < len(student.graph) < 0.6 * len(graph)
    # The shift of the original is the student's, too.
    assert float(student.weights.tensors["shift"]) == pytest.approx(0.3)
    labels = soft_labels(work, parts.work.known_targets, work.teacher(parts.work))
    torch.testing.assert_close(labels.sum(-1), torch.ones(len(labels)))
    only = Candidate("members", "", graph, weights.only([0]))
    again = distilling.distilled(work, only)
    assert [each.detail for each in again] == [each.detail for each in every[1:]]
    details = [each.detail for each in again]
    for words in ("half the width", "1 hidden layer(s)"):
        assert f"one network of {words}, taught by the 4 models" in details
    least = details[-1]
    assert ("quarter" in least) or ("half the width and 1 hidden" in least)
    assert len(again[-1].graph) < 0.4 * len(student.graph)


@pytest.mark.parametrize(("hidden", "expected"), [(16, [" of half the width"]), (0, [])])
def test_a_users_own_network_is_made_smaller_where_it_can_be(
    hidden: int, expected: list[str]
) -> None:
    def model(spec: ModelSpec) -> nn.Module:
        if not hidden:
            return nn.Linear(spec.num_features, spec.num_outputs)
        last = nn.Linear(hidden, spec.num_outputs)
        return nn.Sequential(nn.Linear(spec.num_features, hidden), nn.ReLU(), last)

    task = Task(data=frame(200), model=model)
    problem = Problem.of(task, load(task))
    found = students.smaller(problem, plain())
    assert [students.told(each, plain()) for each in found] == expected
    for each in found:
        (quarter,) = students.smaller(problem, each)
        assert students.told(quarter, plain()) == " of a quarter of the width"
        assert students.smaller(problem, quarter) == []


class Cells(nn.Module):
    """May have more layers, by the technique of blocks, and no fewer."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.cells = nn.GRU(spec.num_features, 8, batch_first=True)
        self.last = nn.Linear(8, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.cells(x.unsqueeze(1))[0][:, -1])


def test_a_student_with_as_many_weights_as_before_is_none() -> None:
    task = Task(data=frame(200), model=Cells)
    problem = Problem.of(task, load(task))
    given = Recipe.from_dict({**plain().to_dict(), "blocks": {"change": 1}})
    for recipe in (plain(), given):
        told = [students.told(each, recipe) for each in students.smaller(problem, recipe)]
        assert told == [" of half the width"]


def test_a_student_that_loses_too_much_learns_what_layers_say(ensemble: Path, others: Any) -> None:
    bundle = Bundle.open(ensemble)
    graph = (ensemble / "model.onnx").read_bytes()
    weights = Weights.read(ensemble / "model.safetensors")
    parts = given_rows(bundle, others, 0)
    work, original = work_on(
        bundle.schema, parts.work, graph, weights, allowed=MaxLoss(0.2, relative=False), shift=0.3
    )
    judge, asked = work.judge, iter([False, True, *[False] * 40])
    refusing = replace(work, judge=lambda said: replace(judge(said), passed=next(asked)))
    (student,) = distilling.distilled(refusing, original)
    assert student.detail == "one network, taught by the 4 models, and by what its layers say"
    assert student.facts["features"]


def test_rows_without_targets_are_taught_by_the_teacher_alone(
    ensemble: Path, others: Any, tmp_path: Path
) -> None:
    bundle, more = Bundle.open(ensemble), rows(90, 3).drop(columns="target")
    parts = given_rows(bundle, others, 0).with_unlabeled(bundle, more)
    assert parts.told.endswith("; 90 rows without targets are learned from, too")
    graph = (ensemble / "model.onnx").read_bytes()
    weights = Weights.read(ensemble / "model.safetensors")
    work, _ = work_on(bundle.schema, parts.work, graph, weights, shift=0.3)
    known = lessons(work)
    assert len(known.rows) == len(parts.work)
    work = replace(work, unlabeled=parts.unlabeled, known={})
    found = lessons(work)
    assert lessons(work) is found
    assert len(found.rows) == len(parts.work) + 90
    torch.testing.assert_close(found.labels[:-90], known.labels)
    said = work.teacher(parts.unlabeled)
    np.testing.assert_allclose(found.said[-90:], said)
    own = torch.from_numpy(unshifted(said, 0.3)).float()
    torch.testing.assert_close(found.labels[-90:], own)
    assert found.rows.known_targets[-90:].tolist() == own.argmax(-1).tolist()


def test_values_are_taught_by_the_mean_of_target_and_teacher(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "c", seeds=2, regression=True, direction="minimize")
    data = rows(1200, 1, regression=True)
    found = pawl.compress(bundle, data, max_loss="40%", out=tmp_path / "out")
    assert found.metric == "rmse"
    assert found.is_changed
    assert Bundle.open(tmp_path / "out").predict(data.head(3)).shape == (3, 1)


def test_intervals_are_made_anew_by_the_rows_that_judge(tmp_path: Path) -> None:
    known = Conformal(0.9, (1e6,), 50).to_dict()
    bundle = bundle_of(tmp_path / "c", regression=True, direction="minimize", conformal=known)
    data = rows(1200, 1, regression=True)
    found = pawl.compress(bundle, data, max_loss="40%", out=tmp_path / "out")
    made = Bundle.open(tmp_path / "out")
    assert made.conformal is not None
    assert made.conformal.coverage == 0.9
    assert made.conformal.rows == found.rows == 600
    assert made.conformal.limits[0] < 1e3
    told = made.predict(data)
    held = (told["low"] <= data["target"]) & (data["target"] <= told["high"])
    assert 0.85 < held.mean() < 0.95
    assert found.notes == ("what covers 90% of new rows was made anew, by the rows that judged",)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "loss 0": ({"max_loss": 0}, "must be above 0, since no number of rows can show"),
    "loss below 0": ({"max_loss": "-1%"}, "must be above 0"),
    "a share without its sign": (
        {"max_loss": 5},
        r"got max_loss='5', an amount of accuracy, .* write 5% for a share",
    ),
    "all of it": ({"max_loss": "200%"}, "must be below 100%"),
    "no time": ({"max_latency": 0}, "must be above zero, such as 2ms"),
    "latency": ({"max_latency": "fast"}, "write it as 2ms or 500us"),
    "no size": ({"max_size": -1}, "must be above zero, such as 1MB"),
    "size": ({"max_size": "-1MB"}, "must be above zero"),
    "too few": ({"max_loss": "0.01%"}, r"800 rows judge, too few .* give more rows, or a larger"),
    "batch": ({"batch": 0}, "give a whole number from 1 to 65536"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_options_are_one_line(single: Path, others: Any, tmp_path: Path, case: str) -> None:
    options, words = BAD[case]
    options = {"metric": "accuracy", **options}
    with pytest.raises(pawl.PawlError, match=words) as caught:
        pawl.compress(single, others, out=tmp_path / "out", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_wrong_rows_and_bundles_are_one_line(
    single: Path, others: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    empty, unlike, bare = (tmp_path / f"{name}.csv" for name in ("empty", "unlike", "bare"))
    others.head(0).to_csv(empty, index=False)
    others[["noise", "target"]].to_csv(unlike, index=False)
    others.drop(columns="target").to_csv(bare, index=False)
    few = tmp_path / "few.csv"
    others.head(5).to_csv(few, index=False)
    changed = Path(shutil.copytree(single, tmp_path / "changed"))
    graph = bytearray((changed / "model.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (changed / "model.onnx").write_bytes(bytes(graph))
    newer = Path(shutil.copytree(single, tmp_path / "newer"))
    manifest = json.loads((newer / MANIFEST).read_text())
    (newer / MANIFEST).write_text(json.dumps({**manifest, "format": 99}))
    unlabeled = tmp_path / "unlabeled.csv"
    others.assign(target=None).to_csv(unlabeled, index=False)
    good = tmp_path / "good.csv"
    others.to_csv(good, index=False)
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine").write_text("kept")
    cases = [
        (single, empty, tmp_path / "out", "no rows"),
        (single, unlike, tmp_path / "out", "size"),
        (single, bare, tmp_path / "out", "target"),
        (single, few, tmp_path / "out", "got 5 row(s) to compress with"),
        (single, tmp_path / "none.csv", tmp_path / "out", "none.csv"),
        (changed, good, tmp_path / "out", "has changed since the bundle was written"),
        (
            newer,
            good,
            tmp_path / "out",
            "of a newer version of pawl (format 99; this one reads up to",
        ),
        (single, unlabeled, tmp_path / "out", "target"),
        (single, (good, "--unlabeled", unlike), tmp_path / "out", "size"),
        (single, (good, "--unlabeled", empty), tmp_path / "out", "no rows"),
        (tmp_path, good, tmp_path / "out", "is not a bundle"),
        (single, good, taken, "is not empty (it has 'mine')"),
    ]
    for bundle, data, out, words in cases:
        given = data if isinstance(data, tuple) else (data,)
        code, text, error = run(capfd, "compress", bundle, *given, "--out", out)
        last = error.strip().splitlines()[-1]
        assert (code, text) == (2, ""), last
        assert last.startswith("pawl: ")
        assert words in last
    assert not (tmp_path / "out").exists()
    assert (taken / "mine").read_text() == "kept"


OWN = """
import pandas as pd
from torch import Tensor, nn
import pawl

def model(spec):
    last = nn.Linear(16, spec.num_outputs)
    return nn.Sequential(nn.Linear(spec.num_features, 16), nn.ReLU(), last)

def hits(targets, predictions):
    return float((predictions.argmax(1) == targets).mean())

task = pawl.Task(data=pd.read_csv({data!r}), model=model, metric=hits, direction="maximize")
"""


def test_a_module_brings_the_model_and_the_metric_of_your_own(
    others: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, module = tmp_path / "rows.csv", tmp_path / "own_net.py"
    others.to_csv(data, index=False)
    module.write_text(OWN.format(data=str(data)))
    task = resolve_task(str(module))
    own = Task(data=rows(300), model=task.model)
    campaign = bundle_of_task(own, tmp_path / "c", "hits", epochs=2)
    code, _, error = run(capfd, "compress", campaign, data, "--out", tmp_path / "none")
    assert code == 2
    assert "'hits' is a function of your own; give the module.py" in error
    given = ("--max-loss", "0.3", "--orders", "2", "--out", tmp_path / "out")
    code, text, error = run(capfd, "compress", campaign, module, *given)
    assert code == 0, error
    assert "hits" in text
    steps = json.loads((tmp_path / "out" / "compress.json").read_text())["steps"]
    details = " ".join(each["detail"] for each in steps if each["step"] == "distill")
    assert "one network of half the width, taught by the one given" in details
