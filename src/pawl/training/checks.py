"""What is checked of a task before any training, so that a wrong one is named at the start."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from pawl.data.kinds import check_kind
from pawl.data.types import Examples, Inputs, LoadedData, Schema
from pawl.errors import TaskError, TrialError, first_line
from pawl.kinds import KINDS
from pawl.models import Builder, outputs, predicting, unknown_code, unregistered
from pawl.task import LossFunction, Objective, Task
from pawl.training.metrics import check_metric, score
from pawl.training.own_loss import check_loss
from pawl.training.own_metric import choose_given
from pawl.training.probabilities import refuse_probabilities

_FEW_ROWS = 4
_STARTS = 8


def check_task(task: Task) -> None:
    """Refuses what can be told to be wrong before any data is read.

    Raises:
        TaskError: An unknown kind, metric or direction, or a model, loss or metric that cannot be
            called.
    """
    check_kind(task.kind)
    check_metric(task.metric, task.direction, task.kind)
    if isinstance(task.model, nn.Module):
        raise TaskError(
            f"the model is a {type(task.model).__name__}, which only one trial could train; give "
            "its class, or a function that builds a fresh one: model() or model(spec)"
        )
    for role, given in (("model", task.model), ("loss", task.loss)):
        if given is not None and not callable(given):
            raise TaskError(f"got the {role} {given!r}; give a function, or leave it out")
    if isinstance(task.loss, type) and issubclass(task.loss, nn.Module):
        name = task.loss.__name__
        raise TaskError(f"the loss is the class {name}; give an instance, as in {name}()")


def check_model(
    builder: Builder, schema: Schema, sample: Inputs, targets: Tensor, loss: LossFunction | None
) -> None:
    """Runs a model as it predicts a few rows and as it trains on a batch, and the user's loss.

    Args:
        builder: Builds the model.
        schema: The data's.
        sample: Rows as the model takes them.
        targets: Of the same rows.
        loss: The user's, or `None`.

    Raises:
        TaskError: The model or the loss raised, its output has the wrong shape, is not finite or is
            a probability, or nothing could be learned by it.
    """
    body = builder(0)
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in body.parameters()):
        raise TaskError(
            "the model has lazy layers, whose sizes are not known when it is built; give them "
            "(model(spec) is told the sizes of the data)"
        )
    if lost := unregistered(body):
        raise TaskError(
            f"the model holds layers where training does not find them: {', '.join(lost)}; write "
            "nn.ModuleList or nn.ModuleDict (for parameters nn.ParameterList), or freeze what is not to "
            "be trained (requires_grad_(False))"
        )
    if not any(True for _ in body.parameters()):
        raise TaskError("the model has no parameters to train; unfreeze or add some")
    named = [(name.removeprefix("module."), p) for name, p in body.named_parameters()]
    if strange := [repr(name) for name, p in named if p.is_complex()]:
        raise TaskError(
            f"complex parameters ({', '.join(strange)}) are not supported; "
            "hold real and imaginary part as two parameters (torch.complex joins them in forward)"
        )
    # Trials would go on with each other's training, also on the rows that judge them.
    if {id(p) for p in body.parameters()} & {id(p) for p in builder(0).parameters()}:
        raise TaskError(
            "the model factory gives the same parameters each time it is called; it must build fresh "
            "ones, as a class does (or copy.deepcopy)"
        )
    few = {name: x[:_FEW_ROWS] for name, x in sample.items()}
    with torch.random.fork_rng(devices=[]):
        with torch.no_grad():
            together = _run(body.eval(), schema, few)
            _check_one_row(body, few, predicting(together).shape)
        raw = _run(body.train(), schema, sample)
        _check_places(raw, schema, targets)
        predicted = predicting(raw)
        finite = predicted.isfinite().all() or not all(x.isfinite().all() for x in sample.values())
        # An unlucky start is a trial's own matter; one that is always unlucky is the model's.
        more = (_run(builder(seed).train(), schema, sample) for seed in range(1, _STARTS))
        if not finite and not any(predicting(other).isfinite().all() for other in more):
            raise TaskError(
                f"the model, still untrained, returned values that are not finite for {len(targets)} "
                "rows of finite inputs; check its initialization and its forward"
            )
    if not predicted.requires_grad:
        raise TaskError(
            "the model's outputs do not depend on its parameters by differentiable operations "
            "(detached, rounded, or computed under no_grad), so nothing could be learned"
        )
    if KINDS[schema.kind].has_classes:
        refuse_probabilities(predicted)
    if loss is not None:
        check_loss(loss, raw, targets)


def check_codes(codes: dict[str, int], data: LoadedData) -> None:
    """Refuses rows with codes that a model's embeddings do not know.

    Args:
        codes: How many it knows, by input.
        data: All rows; of those that are held out only these inputs are looked at.

    Raises:
        TaskError: There is such a row.
    """
    for what, rows in (("data", data.development), ("test rows", data.test)):
        if (said := unknown_code(rows.inputs, codes)) is not None:
            raise TaskError(
                f"of the {what}, {said}; give its embedding more rows, or give other codes"
            )


def check_empty_rows(builder: Builder, schema: Schema, few: Inputs, what: str) -> None:
    """Runs a model on rows of unlike lengths that have no step.

    Args:
        builder: Builds the model.
        schema: The data's.
        few: Such rows as the model takes them.
        what: What they are of.

    Raises:
        TaskError: It returned values that are not finite.
    """
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        raw = _run(builder(0).eval(), schema, few)
    if not predicting(raw).isfinite().all():
        raise TaskError(
            f"some of the {what} are empty (of length 0), and the model returned values that are not "
            "finite for them; leave them out, or let its forward take them (a mean over no steps is "
            "0 / 0: divide by mask.sum(1).clamp(min=1))"
        )


def _run(body: nn.Module, schema: Schema, sample: Inputs) -> Any:
    """Returns all that a module returns, if what predicts is as it should be."""
    count = len(next(iter(sample.values())))
    try:
        raw = body(sample)
    except (Exception, SystemExit) as error:
        shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in sample.items())
        mode = "training" if body.training else "evaluation"
        raise TaskError(
            f"the model raised {type(error).__name__} on inputs {shapes}: {first_line(error)} (in "
            f"{mode} mode){_of_other_type(body, error)}"
        ) from error
    try:
        out = outputs(raw, KINDS[schema.kind], schema.num_outputs)
    except TrialError as error:
        raise TaskError(str(error)) from None
    if len(out) != count:
        raise TaskError(
            f"the model returned {len(out)} row(s) for {count}; it must return one per row"
        )
    if out.dtype not in (torch.float32, torch.float64):
        raise TaskError(
            f"the model returned {out.dtype}; it must return float32 or float64 (end forward with "
            ".float())"
        )
    return raw


def _of_other_type(body: nn.Module, error: BaseException) -> str:
    """Returns what to do where weights of another type than the inputs' may be why a model raised."""
    types = {p.dtype for p in body.parameters() if p.is_floating_point()} - {torch.float32}
    if not types or "type" not in str(error):
        return ""
    other = str(min(types, key=str))
    return (
        f"; inputs are given as float32 and the model has parameters of {other}: let it convert them "
        f"in forward, as in x.to({other})"
    )


def _check_one_row(body: nn.Module, few: Inputs, together: torch.Size) -> None:
    """Refuses a model whose prediction of one row has other axes than its predictions of several.

    One that raises for a row alone may still be trained.
    """
    try:
        got = predicting(body({name: x[:1] for name, x in few.items()})).shape
    except (Exception, SystemExit):
        return
    wanted = [1, *together[1:]]
    if list(got) != wanted:
        raise TaskError(
            f"for one row alone the model returns shape {list(got)} in place of {wanted}; if its "
            "forward calls squeeze(), which takes the axis of rows then, too, name the axis: "
            "squeeze(1) or squeeze(-1)"
        )


def _check_places(raw: Any, schema: Schema, targets: Tensor) -> None:
    if not schema.places:
        return
    kind = KINDS[schema.kind]
    got = outputs(raw, kind, schema.num_outputs).shape[1 : 1 + kind.target_axes]
    if got != targets.shape[1:]:
        raise TaskError(
            f"the model returned shape {list(predicting(raw).shape)}, which has {list(got)} places a "
            f"row; targets have {list(targets.shape[1:])}"
        )


def check_metric_works(objective: Objective, schema: Schema, test: Examples) -> Objective:
    """Scores made-up predictions of the test rows.

    Returns:
        The objective; it knows now what a function of the user's is given as predictions.

    Raises:
        TaskError: The user's metric raised, or the metric is never a finite number.
    """
    targets = test.targets
    assert targets is not None
    generator = torch.Generator().manual_seed(0)
    made_up = KINDS[schema.kind].made_up(targets, schema.num_outputs, generator)
    if objective.function is not None:
        objective = choose_given(objective, made_up, targets)
    values = [float(score(objective, predictions, targets)) for predictions in made_up]
    if not any(map(math.isfinite, values)):
        found = list(set(targets.tolist())) if schema.classes else []
        alike = f", all of class {schema.classes[found[0]]!r}" if len(found) == 1 else ""
        raise TaskError(
            f"the metric {objective.metric!r} is {values[0]} on the {len(targets)} test "
            f"rows{alike}, whatever is predicted; give other test rows or another metric"
        )
    return objective
