"""Neural tangent parametrization, with a start that looks at the data."""

from __future__ import annotations

from torch import nn

from pawl.data.types import Inputs
from pawl.models import Scaled, SequenceNet, TabularNet
from pawl.techniques.architecture._tables import needs_table_net
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


def ntk(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Writes each linear layer as `W x sqrt(128 / n) + b`, where `n` numbers come in.

    An optimizer whose steps are of one size, such as Adam, then moves what a layer says by as much, be
    its inputs few or many. The paper's layers have `1 / sqrt(n)` and rates some ten times as large; here
    rates stay what they are for layers of 128 inputs.

    Layer by layer, first weights are drawn from `N(0, 1)` and scaled so that what each unit says of the
    sample has a deviation of 1; its bias is such that it is 0 at a random mean of five rows (He+5; that
    of the last layer is 0).
    """
    assert isinstance(module, TabularNet)
    names = [name for name, each in module.named_modules() if isinstance(each, nn.Linear)]
    for name in names:
        owner, _, own = name.rpartition(".")
        layer = module.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        scaled = Scaled(layer.in_features, layer.out_features)
        setattr(module.get_submodule(owner), own, scaled)
        handle = scaled.register_forward_pre_hook(
            lambda one, given, last=name == names[-1]: one.start(given[0], last=last)
        )
        was = module.training
        module.eval()
        module(sample)
        module.train(was)
        handle.remove()
    return module


def _fits(facts: Facts) -> str | None:
    if isinstance(facts.module, SequenceNet):
        return "what reads texts and sequences has layers over their steps, which it does not start"
    return needs_table_net(facts)


TECHNIQUE = ModelTechnique(
    name="ntk",
    summary="Scale layers by their inputs' number, and start where the data is.",
    reference="Jacot et al., Neural Tangent Kernel, 2018; He+5 and the scaled start: Holzmueller et "
    "al., Better by Default (RealMLP), 2024, appendix A",
    apply=ntk,
    phase=Phase.START,
    conflicts=frozenset({"initialization"}),
    fits=_fits,
)
