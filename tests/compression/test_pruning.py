"""Units taken out of a network: fewer, in step with each other, and what cannot be pruned."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bundles import bundle_of as bundle_of_task
from bundles_to_compress import bundle_of, rows, work_on
from problems import plain
from torch import Tensor, nn

from pawl import Task
from pawl.compression import features, pruning, ranking, tuning, units
from pawl.compression.candidate import Candidate, Weights
from pawl.compression.judging import Judged
from pawl.compression.work import Work
from pawl.data import ModelSpec, read_like
from pawl.deployment import Bundle
from pawl.deployment.export import predict
from pawl.options.amounts import MaxLoss
from pawl.recipe import Recipe

pytest.importorskip("torch_pruning")
TREES = Recipe.of(lightgbm={"rounds": 20})


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_STEPS", 60)
    monkeypatch.setattr(units, "_ROUNDS", 3)
    monkeypatch.setattr(pruning, "_MOST_TRIED", 2)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(tmp_path_factory.mktemp("network") / "c")


def given(bundle: Bundle, allowed: float = 0.2) -> tuple[Work, Candidate]:
    examples = read_like(bundle.schema, rows(600, 1), with_targets=True)
    graph = (bundle.folder / "model.onnx").read_bytes()
    weights = Weights.read(bundle.folder / "model.safetensors")
    limit = MaxLoss(allowed, relative=False)
    return work_on(bundle.schema, examples, graph, weights, allowed=limit)


def places_of(ranges: str) -> list[int]:
    ends = [[int(end) for end in each.split("-")] for each in ranges.split(",")]
    return [place for each in ends for place in range(each[0], each[-1] + 1)]


def test_units_go_in_multiples_of_eight_and_the_graph_follows(tmp_path: Path) -> None:
    recipe = plain(batch_norm={}, residual={}, depth={"layers": 3})
    work, current = given(bundle_of(tmp_path / "c", (recipe,)))
    found = pruning.pruned(work, current)
    assert not isinstance(found, str)
    sizes = [len(current.graph), *(len(each.graph) for each in found)]
    assert len(found) == 2
    assert sizes == sorted(sizes, reverse=True)
    for each in found:
        *hidden, last = each.facts["units"]
        assert last == 2
        assert all(units % 8 == 0 and 8 <= units < 128 for units in hidden)
        assert len(set(hidden)) == 1  # shortcuts tie the layers' units
        assert not each.is_exact
        kept = [len(places_of(told)) for told in each.facts["kept"].values()]
        assert set(kept) == set(hidden)
        assert {"magnitude", "taylor", "random"} == set(each.facts["moved"])
        assert work.judge(predict(each.graph, work.choices)).passed
    share = float(found[-1].detail.partition("%")[0]) / 100
    left = sum(t.numel() for n, t in found[-1].weights.tensors.items() if n.endswith("weight"))
    whole = sum(t.numel() for n, t in current.weights.tensors.items() if n.endswith("weight"))
    assert left / whole == pytest.approx(share, abs=0.03)


def test_fine_tuning_brings_back_what_pruning_lost(
    network: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, current = given(network, allowed=1.0)
    *_, with_ = pruning.pruned(work, current)
    monkeypatch.setattr(pruning, "tuned", lambda *_: None)
    *_, without = pruning.pruned(work, current)
    said = work.teacher(work.choices)
    apart = [np.abs(predict(each.graph, work.choices) - said).mean() for each in (with_, without)]
    assert apart[0] < 0.7 * apart[1]


def test_what_cannot_be_pruned_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = given(bundle_of(tmp_path / "trees", (TREES,)))
    assert pruning.pruned(*trees) == "what is left is no network"
    work, current = given(bundle_of(tmp_path / "two", seeds=2), allowed=1e-6)
    assert "several models" in str(pruning.pruned(work, current))
    one = Candidate("members", "", b"", current.weights.only([0]), is_exact=False)
    assert "cannot be built anew" in str(pruning.pruned(work, one))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    one = Candidate("members", "", b"", current.weights.only([0]))
    assert "pip install 'pawl[compress]'" in str(pruning.pruned(work, one))


def test_a_network_that_loses_too_much_is_not_proposed(network: Bundle) -> None:
    work, current = given(network)
    nothing = Judged(0.0, 1.0, 1.0, 0.2, passed=False)
    refusing = replace(work, judge=lambda _: nothing)
    assert "even the least pruned" in str(pruning.pruned(refusing, current))


class Unlike(nn.Module):
    """Of one layer the output does not read ten units, of the other it reads all."""

    def __init__(self) -> None:
        super().__init__()
        self.idle, self.busy = nn.Linear(4, 16), nn.Linear(4, 16)
        self.last = nn.Linear(32, 1)
        with torch.no_grad():
            self.idle.weight[:10] *= 9.0  # large, and of no use
            self.last.weight[:, :10] = 0.0
            self.last.weight[:, 16:] *= 5.0

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.cat([torch.relu(self.idle(x)), torch.relu(self.busy(x))], 1)
        return self.last(hidden)


def test_units_are_ranked_by_what_they_move_and_layers_by_what_they_stand() -> None:
    import torch_pruning

    torch.manual_seed(0)
    network, x = Unlike(), torch.randn(64, 4)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    pruner = torch_pruning.pruner.BasePruner(
        network, x[:4], importance=ranking.importance("magnitude"), ignored_layers=[network.last]
    )
    network(x).square().mean().backward()
    found = ranking.ranked(pruner, network, lambda: network(x), 0)
    # Norms would keep what is of no use; gradients see that nothing changes without it.
    assert found.criterion == "taylor"
    assert found.moved["taylor"] < found.moved["magnitude"]
    assert found.moved["taylor"] < found.moved["random"]
    assert found.alone["idle"] < 1e-12 < found.alone["busy"]
    assert found.shares == {"idle": 1.0, "busy": ranking._LEAST}
    assert found.rounds == 2.0
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_rounds_are_trained_in_other_ways_where_weights_that_go_on_do_not_do(
    network: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, current = given(network)
    judge, learned = work.judge, []
    asked = iter([False, True, False, False, True, *[False] * 9])
    refusing = replace(work, judge=lambda said: replace(judge(said), passed=next(asked)))

    def seen(*args: object) -> None:
        learned.append((args[3] is not None, args[4]))

    monkeypatch.setattr(pruning, "tuned", seen)
    first, second = pruning.pruned(refusing, current)
    assert first.facts["trained"] == "features are learned, too"
    assert second.facts["trained"] == "weights are rewound"
    assert first.detail.endswith("weights left; features are learned, too")
    assert learned[:5] == [(False, 1), (True, 1), (False, 1), (True, 1), (False, 2)]
    # What was rewound and not trained since has the weights of the network given, of units left.
    kept = second.facts["kept"]
    (name,) = [name for name in kept if "stem" in name]
    mine, theirs = (each.weights.tensors[f"{name}.weight"] for each in (second, current))
    torch.testing.assert_close(mine, theirs[places_of(kept[name])], rtol=0, atol=0)


def test_features_are_held_to_those_of_the_units_that_are_left(network: Bundle) -> None:
    work, current = given(network)
    teacher, student = (
        tuning.network_of(tuning.pipeline_of(work, current.weights)) for _ in range(2)
    )
    few, batch = work.rows, torch.arange(64)
    pairs = features.alike(student, teacher, [few.inputs[n][:2] for n in teacher.names])
    assert len(pairs) == 2
    assert all(pair.student == pair.teacher for pair in pairs)
    every = [replace(pair, places=torch.arange(128)) for pair in pairs]

    def term(pairs: list[features.Pair]) -> Tensor:
        held = features.Features(student, teacher, pairs)
        with held.listening() as heard:
            student.body(tuning.seen(student, few, batch))
        return held(heard, few, batch)

    assert float(term(every).detach()) == 0.0
    assert float(term(pairs).detach()) > 0.3  # by maps that have not learned anything
    other = [replace(pair, places=torch.arange(128).flip(0)) for pair in every]
    for parameter in student.body.parameters():
        parameter.requires_grad_(True)
    term(other).backward()
    assert float(student.body.get_submodule(pairs[0].student).weight.grad.abs().sum()) > 0.0


class Half(nn.Module):
    """One layer is reshaped by numbers that the network knows by heart; of the other units can go."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(spec.num_features, 32), nn.Linear(16, 48)
        self.last = nn.Linear(48, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        folded = torch.relu(self.first(x)).view(-1, 2, 16).mean(1)
        return self.last(torch.relu(self.second(folded)))


@pytest.mark.filterwarnings("ignore")
def test_layers_that_break_the_network_stay_whole_and_the_others_are_pruned(
    tmp_path: Path,
) -> None:
    campaign = bundle_of_task(Task(data=rows(300), model=Half), tmp_path / "c", epochs=1)
    work, current = given(Bundle.open(campaign), allowed=0.9)
    found = pruning.pruned(replace(work, model=Half), current)
    assert not isinstance(found, str)
    (whole,) = found[-1].facts["left whole"]
    assert whole.endswith("first")
    first, second, _ = found[-1].facts["units"]
    assert first == 32
    assert second < 48
