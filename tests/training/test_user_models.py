"""Models and losses of the user's own: how they are called, and what is refused in one line."""

from __future__ import annotations

import sys
import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from problems import ALL_ROWS, ROWS, Functional, frame, images, member, plain, problem_of
from torch import Tensor, nn
from torch.nn import functional as F

from pawl.data import ModelSpec
from pawl.errors import TaskError
from pawl.execution import plan
from pawl.models import AlongLast, KeyedDropout, dropouts
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.techniques import technique
from pawl.training.checks import check_task
from pawl.training.fused import FusedStepper
from pawl.training.population import Population, Stepper
from pawl.training.problem import Problem
from pawl.training.run import Run
from pawl.training.serial import SerialStepper
from pawl.training.trained import from_outcome

BARE = plain().without("standardize")


def numbers(rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(rows, 4)).astype(np.float32)
    return x, (x[:, 0] + 0.3 * generator.normal(size=rows) > 0).astype(np.int64)


def trained(problem: Problem, stepper: Stepper, recipe: Recipe = BARE) -> Population:
    population = Population(problem, [member(recipe, seed) for seed in range(2)], stepper)
    assert population.advance(12).isfinite().all()
    return population


def check_trains(problem: Problem, recipe: Recipe = BARE) -> Tensor:
    """Trains both ways, holds them equal, and returns predictions `[N, R, ...]`."""
    predicted = [
        trained(problem, stepper, recipe).predict(problem.examples, ALL_ROWS)
        for stepper in (FusedStepper(), SerialStepper())
    ]
    torch.testing.assert_close(*predicted, rtol=0, atol=1e-4)
    return predicted[0]


class Pair(nn.Module):
    """Takes two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.left(left) + self.right(right)


class OneTuple(Pair):
    """Takes one tuple."""

    def forward(self, both: tuple[Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        return self.left(both[0]) + self.right(both[1])


class OneDict(Pair):
    """Takes one dict."""

    def forward(self, both: dict[str, Tensor]) -> Tensor:  # type: ignore[override]
        return self.left(both["left"]) + self.right(both["right"])


class Anything(Pair):
    """Takes keywords, whatever they are."""

    def forward(self, **both: Tensor) -> Tensor:  # type: ignore[override]
        return self.left(both["left"]) + self.right(both["right"])


@pytest.mark.parametrize(
    ("model", "keys"),
    [
        (Pair, None),
        (OneTuple, None),
        (Pair, ("left", "right")),
        (Pair, ("right", "left")),
        (OneDict, ("left", "right")),
        (Anything, ("left", "right")),
    ],
)
def test_inputs_reach_the_model_the_way_it_wants_them(
    model: type[nn.Module], keys: tuple[str, str] | None
) -> None:
    x, y = numbers()
    both = (x, x[:, ::-1].copy())
    inputs: Any = both if keys is None else dict(zip(keys, both, strict=True))
    problem = problem_of(Task(data=(inputs, y), model=model))
    predicted = check_trains(problem)
    assert predicted.shape == (2, len(ALL_ROWS), 2)


def test_single_numbers_reach_the_network_that_pawl_builds() -> None:
    x, y = numbers()
    alone = problem_of(Task(data=(x[:, 0], y)))
    beside = problem_of(Task(data=({"one": x[:, 0], "more": x[:, 1:]}, y)))
    for problem in (alone, beside):
        check_trains(problem, BARE.with_("piecewise_linear"))


def test_a_table_reaches_the_model_as_one_float_tensor() -> None:
    seen = []

    class Watching(Functional):
        def forward(self, x: Tensor) -> Tensor:
            seen.append((tuple(x.shape), x.dtype))
            return super().forward(x)

    sizes = []

    def model(spec: ModelSpec) -> nn.Module:
        sizes.append(spec.num_features)
        return Watching(spec)

    problem = problem_of(Task(data=frame(), model=model))
    assert {(shape[1:], dtype) for shape, dtype in seen} == {((sizes[0],), torch.float32)}
    # Three numbers, an indicator, and one-hot codes of three colors and two shapes, 0 included.
    assert sizes[0] == 3 + 1 + 4 + 3
    check_trains(problem, plain())


@pytest.mark.parametrize("squeeze", [False, True])
def test_one_logit_stands_for_the_second_class(squeeze: bool) -> None:
    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            out = self.layer(x)
            return out.squeeze(-1) if squeeze else out

    x, y = numbers()
    problem = problem_of(Task(data=(x, y), model=One))
    population = trained(problem, FusedStepper(), BARE.with_("momentum", learning_rate=0.2))
    predicted = population.predict(problem.examples, ALL_ROWS)
    assert predicted.shape == (2, len(ALL_ROWS), 2)
    torch.testing.assert_close(predicted.sum(-1), torch.ones(2, len(ALL_ROWS)))
    accuracy = (predicted.argmax(-1) == problem.targets[ALL_ROWS]).float().mean(-1)
    assert (accuracy > 0.8).all()
    weights = population.layout.views(population.state.weights)
    logit = torch.einsum("nof,rf->nr", weights["module.layer.weight"], torch.from_numpy(x[:0]))
    assert logit.shape == (2, 0)


def test_normalization_is_exchanged_where_there_is_some() -> None:
    def model() -> nn.Module:
        norm = nn.BatchNorm1d(8, eps=1e-3)
        nn.init.constant_(norm.weight, 0.5)
        return nn.Sequential(nn.Linear(4, 8), norm, nn.ReLU(), nn.Linear(8, 2))

    problem = problem_of(Task(data=numbers(), model=model))
    facts = problem.facts()
    assert "like that already" in str(technique("batch_norm").fits(facts))
    assert "layer_norm is for those" in str(technique("group_norm").fits(facts))
    assert technique("layer_norm").fits(facts) is None
    check_trains(problem)
    _, body, _ = problem.build(BARE.with_("layer_norm"), 0, ALL_ROWS)
    found = [each for each in body.modules() if isinstance(each, nn.BatchNorm1d | nn.LayerNorm)]
    assert [type(each) for each in found] == [nn.LayerNorm]
    assert found[0].weight.tolist() == [0.5] * 8  # the scale is kept


def test_normalization_of_the_last_axis_is_exchanged_along_it() -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.last = nn.Linear(1, 6), nn.LayerNorm(6), nn.Linear(24, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(F.relu(self.norm(self.first(x.unsqueeze(-1)))).flatten(1))

    problem = problem_of(Task(data=numbers(), model=Rows))
    facts = problem.facts()
    for name in ("batch_norm", "group_norm"):
        assert technique(name).fits(facts) is None
        body = problem.build(plain().with_(name), 0, torch.arange(8))[1]
        (layer,) = (each for each in body.modules() if isinstance(each, AlongLast))
        assert layer(torch.randn(8, 4, 6)).shape == (8, 4, 6)
    assert technique("layer_norm").fits(facts) == "the model normalizes like that already"
    assert technique("rms_norm").fits(facts) is None


def test_the_users_dropout_draws_each_members_own_mask() -> None:
    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 2))

    problem = problem_of(Task(data=numbers(), model=model))
    layers = dropouts(problem.builder(0))
    assert [float(layer.rate) for layer in layers] == [0.5]
    check_trains(problem)  # equal both ways only if the masks are
    changed = BARE.with_("dropout", rate=0.2)
    _, body, _ = problem.build(changed, 0, ALL_ROWS)
    assert [round(float(layer.rate), 6) for layer in dropouts(body)] == [0.2]


def test_keyed_dropout_keeps_the_mean_and_drops_whole_channels() -> None:
    layer = KeyedDropout(0.25, channels=True)
    x = torch.ones(200, 50, 3, 3)
    y = layer(x)
    assert y.flatten(2).std(-1).max() == 0
    assert abs(float(y.mean()) - 1) < 0.03
    assert abs(float((y == 0).float().mean()) - 0.25) < 0.02
    assert torch.equal(layer.eval()(x), x)


def test_frozen_weights_stay_as_they_are() -> None:
    def model() -> nn.Module:
        first = nn.Linear(4, 8)
        first.requires_grad_(False)
        return nn.Sequential(first, nn.ReLU(), nn.Linear(8, 2))

    problem = problem_of(Task(data=numbers(), model=model))
    recipe = BARE.with_("adamw", learning_rate=0.01, weight_decay=1.0)
    check_trains(problem, recipe)
    for stepper in (FusedStepper(), SerialStepper()):
        population = trained(problem, stepper, recipe)
        for index, one in enumerate(population.members):
            fresh = dict(problem.builder(one.seed).named_buffers())["module.0.weight"]
            kept = population.state.buffers["module.0.weight"][index]
            assert torch.equal(kept, fresh)


def test_tied_weights_stay_tied() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight
            self.out = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.second(self.first(x).tanh()))

    problem = problem_of(Task(data=numbers(), model=Tied))
    check_trains(problem)
    _, body, _ = problem.build(BARE, 0, ALL_ROWS)
    assert sum("weight" in name for name, _ in body.named_parameters()) == 2


def test_a_loss_of_the_users_own_gets_raw_outputs() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs.squeeze(-1), targets.float())

    problem = problem_of(Task(data=numbers(), model=lambda: nn.Linear(4, 1), loss=loss))
    own = check_trains(problem)
    default = check_trains(problem_of(Task(data=numbers(), model=lambda: nn.Linear(4, 1))))
    torch.testing.assert_close(own, default, rtol=0, atol=1e-5)


class Several(nn.Module):
    """Returns a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x), x


class Named(Several):
    """Returns a dict, as models of language do."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {"logits": self.layer(x), "hidden": x}


@pytest.mark.parametrize("model", [Several, Named])
def test_of_several_outputs_one_predicts_and_a_loss_sees_all(model: type[nn.Module]) -> None:
    alone = check_trains(problem_of(Task(data=numbers(), model=lambda: nn.Linear(4, 2))))
    problem = problem_of(Task(data=numbers(), model=model))
    torch.testing.assert_close(check_trains(problem), alone)
    seen = set()

    def loss(outputs: Any, targets: Tensor) -> Tensor:
        logits, hidden = outputs if isinstance(outputs, tuple) else outputs.values()
        seen.add((len(outputs), tuple(hidden.shape[1:])))
        return F.cross_entropy(logits, targets) + 0.0 * hidden.sum()

    own = check_trains(problem_of(Task(data=numbers(), model=model, loss=loss)))
    torch.testing.assert_close(own, alone)
    assert seen == {(2, (4,))}


def test_regression_predicts_in_the_targets_units() -> None:
    problem = problem_of(Task(data=frame(regression=True)))
    predicted = check_trains(problem, plain(adam={"learning_rate": 0.01}))
    assert predicted.shape == (2, len(ALL_ROWS))
    residual = predicted - problem.targets[ALL_ROWS]
    assert float(residual.std()) < float(problem.targets.std())
    assert abs(float(predicted.mean() - problem.targets.mean())) < 5


def raising(message: str) -> type[nn.Module]:
    class Raises(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError(message)

    return Raises


def broken_factory() -> nn.Module:
    raise ValueError("no weights\nat all")


class Wordy(Several):
    """Returns something else first."""

    def forward(self, x: Tensor) -> tuple[str, Tensor]:  # type: ignore[override]
        return "two logits", self.layer(x)


class Sized(nn.Module):
    """Wants to be told its sizes."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()


class Half(Several):
    """Computes in half precision to the end."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.layer(x).to(torch.bfloat16)


class Unseen(nn.Module):
    """Keeps its layer where PyTorch does not look."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(4, 2)]


class HalfSeen(nn.Module):
    """Keeps some layers where PyTorch does not look; the last would train on what they return."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = {"a": [nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)]}
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks["a"]:
            x = block(x)
        return self.head(x)


ALWAYS_THE_SAME = nn.Linear(4, 2)


def scripted() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        return torch.jit.script(nn.Linear(4, 2))


def no_scalar(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets, reduction="none")[:3]


def no_tensor(outputs: Tensor, targets: Tensor) -> Any:
    return 0.5


def wrong_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs, torch.zeros(3, 5))


class Spectral(nn.Module):
    """Has complex weights."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, dtype=torch.cfloat))
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.fft.irfft(torch.fft.rfft(x) * self.w, n=4))


class Squeezed(Several):
    """One logit, whose axis of rows goes, too, where there is one row."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.layer(x).squeeze()


def old_norm(norm: Any) -> Any:
    def model() -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is deprecated
            return nn.Sequential(nn.Linear(4, 4), norm(nn.Linear(4, 2)))

    return model


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            {"model": Squeezed},
            "for one row alone the model returns shape [] in place of [1]; if its",
        ),
        (
            {"model": old_norm(nn.utils.weight_norm)},
            "model's '1' has torch.nn.utils.weight_norm in its old form, which cannot be copied; use "
            "torch.nn.utils.parametrizations.weight_norm",
        ),
        (
            {"model": old_norm(nn.utils.spectral_norm)},
            "use torch.nn.utils.parametrizations.spectral_norm",
        ),
        ({"model": lambda: nn.Linear(4, 3)}, "returned shape [4, 3]; for binary it must be [B, 2]"),
        ({"model": lambda: nn.Linear(3, 2)}, "the model raised RuntimeError on inputs x (4, 4): "),
        ({"model": raising("first\nsecond")}, "raised RuntimeError on inputs x (4, 4): first"),
        ({"model": raising("")}, "raised RuntimeError on inputs x (4, 4): no message"),
        (
            {"model": lambda: nn.Linear(4, 2).double()},
            "and the model has parameters of torch.float64: let it convert them in forward, as in x.to(",
        ),
        ({"model": lambda: nn.Linear(4, 2).bfloat16()}, "as in x.to(torch.bfloat16)"),
        (
            {"model": Spectral},
            "complex parameters ('w') are not supported; hold real and imaginary",
        ),
        (
            {"model": Wordy},
            "the model returned tuple whose str would predict; it must return a tens",
        ),
        (
            {"model": Sized},
            "needs width, depth; it is called as model() or model(spec): give functo",
        ),
        (
            {"model": Unseen},
            "where training does not find them: 'layers' (a list with 1 layer); write nn.ModuleList",
        ),
        ({"model": HalfSeen}, "does not find them: 'blocks' (a dict with 2 layers); write nn.Mod"),
        ({"model": lambda: ALWAYS_THE_SAME}, "gives the same parameters each time it is called"),
        ({"model": scripted}, "scripted returned a TorchScript module, which cannot be changed"),
        ({"model": Half}, "returned torch.bfloat16; it must return float32 or float64"),
        ({"model": broken_factory}, "broken_factory raised ValueError: no weights; it is called"),
        ({"model": lambda: 3}, "returned int; it must return a torch.nn.Module"),
        ({"model": nn.Flatten}, "the model has no parameters to train"),
        ({"loss": no_scalar}, "the loss no_scalar returned (3,); it must return one number"),
        ({"loss": no_tensor}, "the loss no_tensor returned float; it must return one number"),
        ({"loss": wrong_loss}, "the loss wrong_loss raised RuntimeError: "),
        (
            {"metric": "rmse"},
            "metric for regression or multitarget or dense_regression only: 'rmse'",
        ),
    ],
)
def test_a_task_that_cannot_work_is_refused_at_the_start(
    task: dict[str, Any], message: str
) -> None:
    with pytest.raises(TaskError) as caught:
        problem_of(Task(data=numbers(), **task))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_frozen_network_may_be_held_in_a_list() -> None:
    class Taught(nn.Module):
        """Hides a network that is not to be trained from its parameters, as many do."""

        def __init__(self) -> None:
            super().__init__()
            self.teacher = [nn.Linear(4, 3).requires_grad_(False)]
            self.head = nn.Linear(7, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.cat([x, self.teacher[0](x)], 1))

    assert problem_of(Task(data=numbers(), model=Taught)).schema.num_outputs == 2


def test_a_loss_is_an_instance() -> None:
    with pytest.raises(TaskError, match=r"the loss is the class NLLLoss; .* as in NLLLoss\(\)"):
        check_task(Task(data=numbers(), loss=nn.NLLLoss))


def test_wrong_shapes_of_other_kinds() -> None:
    with pytest.raises(TaskError, match=r"for regression it must be \[B\] or \[B, 1\]"):
        problem_of(Task(data=(numbers()[0], numbers()[0][:, 0]), model=lambda: nn.Linear(4, 2)))
    with pytest.raises(TaskError, match=r"for multiclass it must be \[B, 3\]"):
        problem_of(Task(data=images(), model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 2))))


class Moody(nn.Module):
    """Decides by its data, which `vmap` cannot take."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if x.sum() > 0 else self.layer(-x)


class Recurrent(nn.Module):
    """A small LSTM over the features as a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 8, batch_first=True)
        self.out = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.lstm(x.unsqueeze(-1))[0][:, -1])


@pytest.mark.parametrize(("model", "reason"), [(Moody, "vmap refuses the model"), (Recurrent, "")])
def test_what_does_not_fuse_is_planned_serial_and_trains(
    model: type[nn.Module], reason: str
) -> None:
    problem = problem_of(Task(data=numbers(), model=model))
    chosen = plan(problem, BARE, member(BARE), timed=False)
    assert chosen.way.mode == "serial"
    assert reason in chosen.reason
    assert chosen.width >= 1
    population = trained(problem, chosen.stepper(2))
    assert population.predict(problem.examples, ALL_ROWS).isfinite().all()


@pytest.mark.parametrize("timed", [False, True])
def test_plans_of_plain_networks(timed: bool) -> None:
    table = problem_of(Task(data=frame()))
    chosen = plan(table, plain(), member(plain()), timed=timed)
    assert timed or (chosen.way.mode, chosen.width) == ("fused", 64)
    assert chosen.way.mode in ("fused", "serial")
    assert chosen.reason
    if not timed:
        pictures = problem_of(Task(data=images()))
        assert plan(pictures, plain(), member(plain()), timed=False).way.mode == "serial"


class BackwardRaises(torch.autograd.Function):
    """Is there forward, and raises backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise RuntimeError("no derivative\nof this")


class ForwardOnly(nn.Module):
    """Cannot be trained."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return BackwardRaises.apply(self.layer(x))


def changed_in_place(outputs: Tensor, targets: Tensor) -> Tensor:
    p = outputs.softmax(-1)
    loss = -(p.log() * F.one_hot(targets, 2)).sum(-1).mean()
    p.add_(1.0)  # what the backward pass needs
    return loss


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"model": ForwardOnly}, "RuntimeError: no derivative (in the backward pass"),
        ({"loss": changed_in_place}, "RuntimeError: one of the variables needed for gradient"),
    ],
)
def test_what_raises_in_the_backward_pass_is_refused_at_the_start(
    task: dict[str, Any], message: str
) -> None:
    with pytest.raises(TaskError) as caught:
        problem_of(Task(data=numbers(), **task))
    assert f"training the model raised {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


class PlainBackward(torch.autograd.Function):
    """Doubles; written as before `vmap`, which it does not take."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return 2 * gradients[0]


def test_a_backward_pass_that_only_fusing_refuses_trains_one_by_one() -> None:
    class Doubling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return PlainBackward.apply(self.layer(x))

    problem = problem_of(Task(data=numbers(), model=Doubling))
    chosen = plan(problem, BARE, member(BARE), timed=False)
    assert (chosen.way.mode, chosen.reason[:22]) == ("serial", "vmap refuses the model")
    trained(problem, chosen.stepper(2))


def test_the_first_step_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    problem_of(Task(data=numbers(), model=Moody))
    assert torch.equal(torch.rand(3), expected)


class OnAFrozenBody(nn.Module):
    """A head on a body that is given and not trained, like a pretrained one (or drawn by the seed)."""

    def __init__(self, *, given: bool) -> None:
        super().__init__()
        self.body = nn.Linear(4, 16)
        if given:
            with torch.no_grad():
                self.body.weight.copy_(torch.linspace(-1, 1, 64).view(16, 4))
                self.body.bias.zero_()
        for parameter in self.body.parameters():
            parameter.requires_grad = False
        self.head = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(x)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("given", [True, False])
def test_frozen_weights_that_all_members_have_alike_are_held_once(given: bool) -> None:
    problem = problem_of(Task(data=numbers(), model=partial(OnAFrozenBody, given=given)))
    predicted = check_trains(problem, plain(ema={"horizon": 20.0}))
    frozen = {"module.body.weight", "module.body.bias"}
    for stepper in (
        FusedStepper(), SerialStepper(), FusedStepper(backend="eager", width=2)
    ):  # fmt: skip
        one = trained(problem, stepper, plain(ema={"horizon": 20.0}))
        assert set(one.shared) == (frozen if given else set())
        assert frozen.isdisjoint(one.state.buffers) == given
        torch.testing.assert_close(
            one.predict(problem.examples, ALL_ROWS), predicted, rtol=0, atol=1e-4
        )
        one.admit([member(plain(ema={"horizon": 20.0}), 7)])
        one.advance(2)
    run = Run(Population(problem, [member(BARE, 1, epochs=3)], SerialStepper()))
    while not run.finished():
        run.segment()
    (outcome,) = run.release(run.finished(), with_weights=[0])
    assert frozen.isdisjoint(outcome.buffers) == given
    model = from_outcome(problem, outcome)
    alone = model.predict(problem.examples, torch.device("cpu"))
    assert alone.isfinite().all()
    first = model.tensors()
    weight = next(x for name, x in first.items() if name.endswith("body.weight"))
    expected = problem.builder(1).state_dict()["module.body.weight"]
    torch.testing.assert_close(weight, expected)


class Leaves(nn.Module):
    """Ends the program, when it is built or when it is called."""

    def __init__(self, *, built: bool = True) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        if built:
            sys.exit(5)

    def forward(self, x: Tensor) -> Tensor:
        sys.exit("no forward")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": Leaves}, "the model factory Leaves raised SystemExit: 5"),
        ({"model": partial(Leaves, built=False)}, "the model raised SystemExit on .*: no forward"),
        ({"loss": lambda out, targets: sys.exit(2)}, "the loss <lambda> raised SystemExit: 2"),
    ],
)
def test_code_that_would_end_the_program_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        problem_of(Task(data=numbers(), **given))


def test_a_model_that_takes_long_to_build_is_built_once_to_be_looked_at() -> None:
    built = []

    def slow(spec: ModelSpec) -> nn.Module:
        built.append(spec)
        return nn.Linear(spec.num_features, spec.num_outputs)

    problem = problem_of(Task(data=frame(), model=slow))
    built.clear()
    assert not problem.facts().pretrained
    assert len(built) == 1
