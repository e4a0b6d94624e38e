"""Surgery of networks whose layers are recurrent: what goes behind these, and more of them."""

from __future__ import annotations

import copy

import pytest
import torch
from problems import ALL_ROWS, images, member, plain, problem_of, words
from torch import Tensor, nn
from user_nets_of_sequences import CharRNN

from pawl.data import ModelSpec
from pawl.models import duplicate
from pawl.models.recurrent import Followed, deeper, followable
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.techniques import technique
from pawl.training.population import Population
from pawl.training.problem import Problem
from pawl.training.serial import SerialStepper

BARE = plain().without("standardize")


class Steps(nn.Module):
    """Reads outputs, or states."""

    def __init__(
        self, spec: ModelSpec, kind: type[nn.RNNBase] = nn.GRU, states: bool = False
    ) -> None:
        super().__init__()
        self.rnn = kind(8, 6, bidirectional=kind is not nn.RNN, batch_first=True)  # type: ignore[call-arg]
        self.states = states
        self.out = nn.Linear(6 if states or kind is nn.RNN else 12, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        assert self.rnn.num_layers > 0  # as some ask
        output, states = self.rnn(x.squeeze(1))
        return self.out(states[-1] if self.states else output[:, -1])


def of(model: object, data: object = None) -> Problem:
    return problem_of(Task(data=images() if data is None else data, model=model))  # type: ignore[arg-type]


def body(problem: Problem, recipe: Recipe) -> nn.Module:
    return problem.build(recipe, 0, ALL_ROWS)[1]


def outputs(problem: Problem, recipe: Recipe) -> Tensor:
    with torch.no_grad():
        return body(problem, recipe).eval()(problem.facts().sample)


@pytest.mark.parametrize("name", ["layer_norm", "batch_norm", "rms_norm"])
def test_what_has_no_activations_is_normalized_behind_recurrent_layers(name: str) -> None:
    problem = of(CharRNN, words())
    made = body(problem, BARE.with_(name)).eval()
    (followed,) = [each for each in made.modules() if isinstance(each, Followed)]
    x = torch.randint(0, 7, (5, 5))
    steps = made.module.encoder(x)
    expected = followed.behind(followed.inner(steps)[0])[:, -1]
    with torch.no_grad():
        torch.testing.assert_close(made.module.decoder(expected), made.module(x))
    assert (
        Population(problem, [member(BARE.with_(name))], SerialStepper()).advance(2).isfinite().all()
    )


def test_states_that_are_read_are_left_to_agree_with_outputs() -> None:
    facts = of(lambda spec: Steps(spec, states=True)).facts()
    assert followable(facts.module, facts.sample) == {}
    assert "no activation" in str(technique("layer_norm").fits(facts))
    facts = of(Steps).facts()
    assert followable(facts.module, facts.sample) == {"module.rnn": 12}


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_learned_layers_keep_what_they_compute_under_more(kind: type[nn.RNNBase]) -> None:
    torch.manual_seed(0)
    given = Steps(ModelSpec((), 3, "classification"), kind)
    problem = of(lambda: duplicate(given))
    more = BARE.with_("blocks", change=2)
    torch.testing.assert_close(outputs(problem, more), outputs(problem, BARE))
    counts = [sum(x.numel() for x in body(problem, each).parameters()) for each in (more, BARE)]
    assert counts[0] > counts[1]
    again = copy.deepcopy(body(problem, more))
    assert isinstance(again.module.rnn, Followed)
    assert again.module.rnn.inner is not body(problem, more).module.rnn.inner


def test_layers_that_start_at_random_are_stacked() -> None:
    problem = of(lambda spec: Steps(spec, states=True))  # also where states are read
    more = body(problem, BARE.with_("blocks", change=1)).module.rnn
    assert (type(more), more.num_layers) == (nn.GRU, 2)
    plain_ = body(problem, BARE).module.rnn
    assert torch.equal(more.weight_ih_l0, plain_.weight_ih_l0)
    fewer = deeper(more, -1)
    assert torch.equal(fewer.weight_hh_l0_reverse, plain_.weight_hh_l0_reverse)
    x = torch.randn(2, 4, 8)
    torch.testing.assert_close(fewer(x)[0], plain_(x)[0])


def test_attention_behind_a_recurrent_layer_starts_by_changing_nothing() -> None:
    problem = of(Steps)
    recipe = BARE.with_("self_attention").with_("layer_norm")
    assert sum(isinstance(m, Followed) for m in body(problem, recipe).modules()) == 2
    torch.testing.assert_close(
        outputs(problem, BARE.with_("self_attention")), outputs(problem, BARE)
    )


def test_recurrent_weights_are_drawn_gate_by_gate() -> None:
    rnn = body(of(Steps), BARE.with_("initialization", method="xavier")).module.rnn
    for gate in rnn.weight_hh_l0.split(6):
        torch.testing.assert_close(gate @ gate.T, torch.eye(6), rtol=0, atol=1e-5)
    assert not rnn.bias_ih_l0_reverse.any()


def test_weights_that_are_computed_are_drawn_too() -> None:
    class Normed(nn.Module):
        def __init__(self, spec: ModelSpec) -> None:
            super().__init__()
            wrap = nn.utils.parametrizations.weight_norm
            self.first, self.last = wrap(nn.Linear(64, 8)), nn.Linear(8, spec.num_outputs)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.relu(self.first(x.flatten(1))))

    layer = body(of(Normed), BARE.with_("initialization", method="orthogonal")).module.first
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(8), rtol=0, atol=1e-5)
