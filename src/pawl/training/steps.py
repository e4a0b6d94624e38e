"""What both steppers compute alike in a step: targets, the loss of a batch, averages, buffers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from pawl.errors import TrialError
from pawl.kinds import KINDS
from pawl.models import outputs
from pawl.techniques import AVERAGE_INTERVAL, LossTerm, Targets
from pawl.training.population import Population
from pawl.training.problem import Problem
from pawl.training.program import Namespace


def scaled_targets(targets: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Returns targets `[N, B, *S]`; values are put in units of the training rows' deviation."""
    if not targets.is_floating_point():
        return targets
    return (targets - mean.unsqueeze(1)) / std.unsqueeze(1)


def progress(step: Tensor, total: Tensor, rows: Tensor) -> Tensor:
    """Returns the share of steps taken before this one for each row, `[N, B]`, or `[K, B]` of a member.

    Args:
        step: Steps taken, this one included, `[N]` or `[K]`.
        total: Steps of the whole trial, `[N]` or `[1]`.
        rows: Anything `[N, B]` or `[K, B]`.
    """
    return ((step - 1.0) / total).unsqueeze(1).expand(rows.shape)


def batch_loss(
    problem: Problem,
    term: LossTerm,
    raw: Any,
    targets: Targets,
    weights: Mapping[str, Tensor],
    *,
    several: bool,
) -> Tensor:
    """Returns one member's loss of a batch.

    Args:
        problem: The task.
        term: The loss.
        raw: What the model returned: a tensor `[B, ...]`, or a tuple or dict of them.
        targets: The member's, `values` `[B, *S]`.
        weights: The model's, by name.
        several: Whether it returned several predictions of each row, `[K, B, O]`, whose losses count
            alike.
    """
    if several:
        count = len(raw)
        raw = raw.flatten(0, 1)
        targets = targets.map(lambda x: x.repeat(count, *([1] * (x.dim() - 1))))
    schema, own_loss = problem.schema, problem.loss is not None
    out = raw if own_loss else outputs(raw, KINDS[schema.kind], schema.num_outputs)
    if targets.offset is not None:
        out = _moved(out, targets.offset)

    def losses(wanted: Targets) -> Tensor:
        return term(_weighed(out, wanted.weights), wanted, weights)

    found = losses(targets)
    if targets.partner is not None and targets.share is not None:
        share = targets.share if found.dim() else targets.share.mean()
        found = share * found + (1.0 - share) * losses(targets.partner)
    return found.mean() if found.dim() else found


def _moved(out: Tensor, offset: Tensor) -> Tensor:
    """Adds offsets `[B, O]` to outputs `[B, *S, C]`, of which `C` may be more than `O`."""
    wide = F.pad(offset, (0, out.shape[-1] - offset.shape[-1]))
    return out + wide.view(len(wide), *([1] * (out.dim() - 2)), -1)


def rows_apart(targets: Targets) -> Targets:
    """Returns the targets of members that have one row each: `N * B` for `N` of `B` rows."""
    return targets.map(lambda x: x.reshape(-1, 1, *x.shape[2:]))


def _weighed(out: Any, weights: Tensor | None) -> Any:
    """Returns outputs of the same values whose gradients are multiplied by the rows' weights `[B]`.

    So the rows of any loss can be weighed, also of one that returns a single number for the batch; what
    a loss adds for the weights of the model is left as it is.
    """
    if weights is None:
        return out
    return pytree.tree_map(lambda each: _weigh(each, weights), out)


def _weigh(out: Any, weights: Tensor) -> Any:
    if not isinstance(out, Tensor) or out.shape[:1] != weights.shape:  # not one of rows
        return out
    fixed = out.detach()
    return fixed + weights.view(-1, *([1] * (out.dim() - 1))) * (out - fixed)


def check_buffer(name: str, old: Tensor, new: object) -> Tensor:
    """Returns what a model's forward put in a buffer's place, if it can be kept.

    Raises:
        TrialError: It is no tensor, or one of another shape or type.
    """
    if not isinstance(new, Tensor):
        raise TrialError(
            f"the model's forward sets its buffer {name!r} to {type(new).__name__}; it must stay a "
            "tensor"
        )
    if (new.shape, new.dtype) != (old.shape, old.dtype):
        raise TrialError(
            f"the model's forward makes its buffer {name!r}, {old.dtype} {tuple(old.shape)}, "
            f"{new.dtype} {tuple(new.shape)}; shape and type must stay"
        )
    return new.detach()


def averaging_due(step: Tensor, total: Tensor) -> Tensor:
    """Tells whose averages move behind these steps, which depends on a member's own steps alone."""
    return (step % AVERAGE_INTERVAL == 0) | (step == total)


def average(population: Population, members: slice | Tensor, step: Tensor) -> None:
    """Runs the average stage for some members; `step` is their steps taken, `[N']`."""
    state = population.state
    assert state.average is not None
    total = population.total.to(step)[members]
    for call in population.program.average:
        settings = Namespace(
            {
                k: v[members] if isinstance(v, Tensor) else v
                for k, v in population.values[call.name].items()
            }
        )
        apply = call.technique.apply
        state.average[members] = apply(
            state.average[members], state.weights[members], step, total, settings
        )
        for name, buffer in state.buffers.items():
            kept = state.average_buffers[name]
            if buffer.is_floating_point():
                flat = kept[members].flatten(1) if kept.dim() > 1 else kept[members, None]
                new = buffer[members].flatten(1) if buffer.dim() > 1 else buffer[members, None]
                kept[members] = apply(flat, new, step, total, settings).view_as(kept[members])
            else:
                kept[members] = buffer[members]
