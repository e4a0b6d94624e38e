"""What a technique is: one pure function and the record that says where it goes and what it takes.

The stage fixes the function's signature (`N` members, `B` rows of a batch, `P` weights in a model):

| stage    | called                        | signature                                                    |
|----------|-------------------------------|--------------------------------------------------------------|
| data     | once, fitted on training rows | `(split, settings) -> split`                                 |
| model    | once                          | `(module, settings, sample) -> module`                       |
| batch    | every step, whole population  | `(batch, settings, key [N]) -> batch`                        |
| loss     | every step, one member        | `(loss function, settings) -> loss function`                 |
| gradient | every step, whole population  | `(gradients [N, P], weights [N, P], settings) -> gradients`  |
| schedule | every step, whole population  | `(step [N], total [N], settings) -> rate multiplier [N]`     |
| update   | every step, whole population  | `(weights, gradients, slots, rate [N], step [N], settings)`, in place |
| average  | every few steps               | `(average [N, P], weights [N, P], step [N], settings) -> average` |
| stop     | at each evaluation            | `(stale [N], evaluations [N], settings) -> stop [N]`         |

Settings reach the function as attributes. Those named in `memberwise` may differ between the
members of one population and arrive as float32 tensors `[N]` (as scalars in the loss stage, which
runs under `vmap`); all others are structural and arrive as plain values.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from pawl.data.types import Examples, Inputs, Schema

LossTerm = Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]
"""`(outputs [B, O], targets [B], weights by name) -> scalar`, for one member."""


class Stage(StrEnum):
    """Where in a trial a technique acts, in the order of a trial."""

    DATA = "data"
    MODEL = "model"
    BATCH = "batch"
    LOSS = "loss"
    GRADIENT = "gradient"
    SCHEDULE = "schedule"
    UPDATE = "update"
    AVERAGE = "average"
    STOP = "stop"


STAGES = tuple(Stage)

AVERAGE_INTERVAL = 4
"""Steps between two calls of the average stage."""


class Settings(BaseModel):
    """Base of every technique's settings; the bounds of the fields are the search space."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def number(default: float, low: float, high: float, description: str, *, log: bool = False) -> Any:
    """Declares a number in `[low, high]`, searched on a log scale if `log`."""
    return Field(default, ge=low, le=high, description=description, json_schema_extra={"log": log})


@dataclass(frozen=True)
class Split:
    """One trial's data on its way through the data stage.

    A technique may change what trains: leave rows out, name one twice, weigh them, change them or add
    some. It changes nothing else: evaluations and the deployed model get rows as they were read.

    Attributes:
        examples: All rows, raw: `E`, the development rows first.
        rows: Indices of the training rows, `[R]`, at least one; only these may be looked at to fit
            anything.
        layers: What goes in front of the model, in order.
        batch_size: Rows per step.
        weights: How much each of the examples counts, `[E]` float32, none below 0; `None` if all
            count alike. Only their ratios matter: over the training rows they are scaled to a mean
            of 1, and the loss of a batch is the mean of its rows' losses, each times its weight. (The
            gradient is; the loss on record is the one without weights, and so can be compared.)
    """

    examples: Examples
    rows: Tensor
    layers: tuple[nn.Module, ...]
    batch_size: int = 128
    weights: Tensor | None = None

    def add(self, more: Examples) -> Split:
        """Returns the split with further rows that train; they weigh what the others do on average.

        Args:
            more: `R'` rows with targets and with the same inputs as `examples`, raw.
        """
        inputs = {
            name: torch.cat([x, more.inputs[name]]) for name, x in self.examples.inputs.items()
        }
        assert self.examples.targets is not None
        assert more.targets is not None
        targets = torch.cat([self.examples.targets, more.targets])
        fresh = torch.arange(len(self.examples), len(targets), device=self.rows.device)
        weights = self.weights
        if weights is not None:
            mean = weights[self.rows].mean()
            weights = torch.cat([weights, mean.expand(len(more))])
        return replace(
            self,
            examples=Examples(inputs, targets),
            rows=torch.cat([self.rows, fresh]),
            weights=weights,
        )

    def chunks(self, size: int = 4096) -> Iterator[Inputs]:
        """Yields the training rows, as the layers so far leave them, in chunks of `size`."""
        for rows in torch.split(self.rows, size):
            with torch.no_grad():
                inputs = self.examples.take(rows).inputs
                for layer in self.layers:
                    inputs = layer(inputs)
            yield inputs


@dataclass(frozen=True)
class Batch:
    """A population's batch, front layers applied.

    Attributes:
        inputs: Tensors `[N, B, ...]`.
        targets: `[N, B, *S]`, `S` being the shape of a row's target.
        partners: Targets that share the loss (mixup), `[N, B, *S]`, or `None`.
        share: Weight of `targets` against `partners`, `[N]`, or `None`.
        weights: How much each row counts, `[N, B]`, or `None` if all count alike.
        partner_weights: How much the rows count that the partners come from, `[N, B]`, or `None`.
    """

    inputs: Inputs
    targets: Tensor
    partners: Tensor | None = None
    share: Tensor | None = None
    weights: Tensor | None = None
    partner_weights: Tensor | None = None


@dataclass(frozen=True)
class Facts:
    """What a technique may know of the task to say whether it fits.

    Attributes:
        schema: The data's schema.
        own_model: The user gave the model.
        own_loss: The user gave the loss.
        module: A freshly built module of the task, to look at, not to change.
        sample: A few rows of inputs as the module takes them.
        num_rows: Development rows.
    """

    schema: Schema
    own_model: bool
    own_loss: bool
    module: nn.Module
    sample: Inputs
    num_rows: int


def _always_fits(_: Facts) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Technique:
    """One named idea.

    Attributes:
        name: Unique, in snake case; a recipe's table has this name.
        stage: Where it acts; fixes the signature of `apply`.
        summary: One line for listings.
        reference: The paper or document it comes from.
        settings: Its settings' model.
        apply: The function.
        group: At most one technique of a group is in a recipe (`optimizer`, `schedule`, ...).
        conflicts: Names of techniques it cannot be combined with, beside those of its group.
        memberwise: Settings that may differ between the members of a fused population.
        reads: Quantities it looks at; techniques of its stage that write them come first.
        writes: Quantities it changes. Two techniques of a stage that write the same one must say
            who comes first (`after`) or that they conflict.
        after: Names of techniques of its stage that come first.
        fits: Says why it does not fit a task; `None` if it does.
        slots: For the update stage: names of its state tensors (`[N, P]`, zero at the start).
        coefficients: For the update stage: what depends on `(rate [K, N], step [K, N], settings)`
            alone, as tensors `[K, N]` by name. They are computed for many steps at once and reach
            `apply` as further attributes of the settings, `[N]`: inside a compiled step, a power
            would be taken again for every few weights.
        reference_optimizer: For the update stage: the `torch.optim` class that does the same for
            one model, and the settings it takes, by its own names.
        searched: Whether campaigns add it and vary its settings; what is not searched but is in the
            baseline stays as it is.
    """

    name: str
    stage: Stage
    summary: str
    reference: str
    apply: Callable[..., Any]
    settings: type[Settings] = Settings
    group: str | None = None
    conflicts: frozenset[str] = frozenset()
    memberwise: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    fits: Callable[[Facts], str | None] = _always_fits
    slots: tuple[str, ...] = ()
    coefficients: Callable[[Tensor, Tensor, Any], dict[str, Tensor]] | None = None
    reference_optimizer: Callable[[list[Tensor], Any], torch.optim.Optimizer] | None = None
    searched: bool = True
    family: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        unknown = self.memberwise - set(self.settings.model_fields)
        if unknown:
            raise ValueError(f"technique {self.name!r}: no such memberwise settings: {unknown}")
        if (self.stage is Stage.UPDATE) != (self.reference_optimizer is not None):
            raise ValueError(
                f"technique {self.name!r}: exactly update techniques name an optimizer"
            )
