"""What needs a bundle's modules: integrated gradients, Grad-CAM, and shuffled weights.

Shape legend: `N` rows, `S` steps, `F` numbers of a row, `C, H, W` an image.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pawl.data.types import Examples, Inputs
from pawl.explaining.subject import Subject, Values, taken
from pawl.models import Deployed, Pipeline
from pawl.rng import derive_seed

_STEPS, _FEW_STEPS = 50, 8
SHUFFLES = 4
"""Models with shuffled weights to compare with: one alone may be like the model by chance."""


def integrated_gradients(
    pipeline: Pipeline,
    inputs: Inputs,
    name: str,
    baseline: Tensor,
    outputs: NDArray[np.int64],
    *,
    shown: Callable[[Tensor], Tensor] = lambda values: values,
    steps: int = _STEPS,
) -> tuple[Values, Values]:
    """Returns integrated gradients of one input, and how much they leave unexplained.

    `(x - x') * integral of df/dx at x' + a (x - x') over a in (0, 1)` (Sundararajan et al. 2017), by
    Gauss-Legendre points. They sum to `f(x) - f(x')` where the integral is exact; where a model has
    steps, as trees do, they do not. The other inputs stay as they are.

    Args:
        pipeline: Raw inputs to predictions.
        inputs: `N` rows.
        name: Which input.
        baseline: Its values that stand for nothing, `[...]` or `[N, ...]`.
        outputs: The output explained of each row, `[N]`.
        shown: Makes what is explained of predictions.
        steps: Points.

    Returns:
        Attributions `[N, ...]`, and `sum of attributions - (f(x) - f(x'))`, `[N]`.
    """
    found, missed = [], []
    for row, output in enumerate(outputs):
        own = taken(inputs, [row])
        start = baseline[row] if baseline.dim() == own[name].dim() else baseline
        each, left = _along(pipeline, own, name, start[None], int(output), shown, steps)
        found.append(each)
        missed.append(left)
    return torch.cat(found).numpy(), np.array(missed)


def expected_gradients(
    pipeline: Pipeline,
    inputs: Inputs,
    name: str,
    background: Tensor,
    outputs: NDArray[np.int64],
    *,
    shown: Callable[[Tensor], Tensor] = lambda values: values,
    steps: int = _FEW_STEPS,
) -> tuple[Values, Values]:
    """Returns the mean of integrated gradients from background rows, and what it leaves unexplained.

    Erion et al. 2021, as GradientSHAP; there rows and points are drawn, here all rows and few fixed
    points of each take part, so that sums miss `f(x) - mean f(b)` by next to nothing. See
    `integrated_gradients`.

    Args:
        pipeline: Raw inputs to predictions.
        inputs: `N` rows.
        name: Which input.
        background: Its values in other rows, `[M, ...]`.
        outputs: The output explained of each row, `[N]`.
        shown: Makes what is explained of predictions.
        steps: Points from each background row.
    """
    found, missed = [], []
    for row, output in enumerate(outputs):
        own = taken(inputs, [row])
        each, left = _along(pipeline, own, name, background, int(output), shown, steps)
        found.append(each)
        missed.append(left)
    return torch.cat(found).numpy(), np.array(missed)


def _along(
    pipeline: Pipeline,
    own: Inputs,
    name: str,
    starts: Tensor,
    output: int,
    shown: Callable[[Tensor], Tensor],
    steps: int,
) -> tuple[Tensor, float]:
    """Returns the mean of integrated gradients from starts `[M, ...]`, `[1, ...]` and their miss."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    x, count = own[name].float(), len(starts)
    there = x.isfinite() & starts.isfinite()
    start = torch.where(there, starts.float(), x)  # a gap stays one, and gets nothing
    away = torch.nan_to_num(x - start)
    places = torch.as_tensor((points + 1) / 2, dtype=torch.float32).view(
        -1, 1, *[1] * (x.dim() - 1)
    )
    path = torch.where(x.isfinite(), start + places * away, x).flatten(0, 1).requires_grad_()
    value = _outputs(pipeline, {**own, name: path}, steps * count, shown)[:, output].sum()
    slopes = None  # of trees alone, say
    if value.requires_grad:
        (slopes,) = torch.autograd.grad(value, path, allow_unused=True)
    slopes = torch.zeros_like(path) if slopes is None else torch.nan_to_num(slopes)
    share = torch.as_tensor(weights / 2, dtype=torch.float32).view_as(places)
    slopes = (slopes.detach().view(steps, count, *x.shape[1:]) * share).sum(0)
    values = (slopes * away).mean(0, keepdim=True).double()
    with torch.no_grad():
        ends = torch.cat([start, x]).detach()
        found = _outputs(pipeline, {**own, name: ends}, count + 1, shown)[:, output].double()
    return values, float(values.sum() - (found[-1] - found[:-1].mean()))


def _outputs(
    pipeline: Pipeline, inputs: Inputs, count: int, shown: Callable[[Tensor], Tensor]
) -> Tensor:
    """Returns what is explained, `[count, O]`; inputs of one row are repeated."""
    every = [
        tensor if len(tensor) == count else tensor.expand(count, *tensor.shape[1:])
        for tensor in (inputs[name] for name in pipeline.names)
    ]
    values = shown(pipeline(*every))
    return values if values.dim() > 1 else values.unsqueeze(-1)


def members_of(pipeline: Pipeline) -> list[tuple[Deployed, float]]:
    """Returns the models whose mean is predicted, each with its share."""
    if isinstance(pipeline, Deployed):
        return [(pipeline, 1.0)]
    members = [each for each in pipeline.members if isinstance(each, Deployed)]
    return list(zip(members, pipeline.shares or [1.0 / len(members)] * len(members), strict=True))


def grad_cam(
    pipeline: Pipeline, image: Inputs, output: int
) -> tuple[NDArray[np.float64], str] | None:
    """Returns where the last layer with places speaks for an output, `[h, w]`, and that layer's name.

    `relu(sum_c mean(d output / d A_c) A_c)` over channels `c` of the layer's output `A` (Selvaraju et
    al. 2017), the mean over the models of a bundle by their shares. The last layer is that whose output,
    `[1, c, h, w]`, has more than one place. `None` where a model has none.

    Args:
        pipeline: Raw inputs to predictions.
        image: One row.
        output: Which.
    """
    total: Tensor | None = None
    named = ""
    for member, share in members_of(pipeline):
        seen: list[tuple[str, Tensor]] = []

        def keep(name: str, seen: list[tuple[str, Tensor]] = seen) -> Callable[..., None]:
            def hook(_: nn.Module, __: object, found: object) -> None:
                if isinstance(found, Tensor) and found.dim() == 4 and found.shape[-2:].numel() > 1:
                    seen.append((name, found))

            return hook

        hooks = [
            module.register_forward_hook(keep(name))
            for name, module in member.body.named_modules()
            if name
        ]
        try:
            inputs = [image[name].float().requires_grad_() for name in member.names]
            values = member(*inputs)
            if not seen:
                return None
            named, layer = seen[-1]
            (slopes,) = torch.autograd.grad(values[0, output], layer, allow_unused=True)
        finally:
            for handle in hooks:
                handle.remove()
        if slopes is None:
            return None
        own = (slopes.mean((2, 3), keepdim=True) * layer).sum(1)[0].relu().detach().double() * share
        if total is not None and total.shape != own.shape:
            own = nn.functional.interpolate(own[None, None], size=total.shape, mode="bilinear")[
                0, 0
            ]
        total = own if total is None else total + own
    return None if total is None else (total.numpy(), named)


def scrambled(pipeline: Pipeline, seed: int, number: int = 0) -> Pipeline:
    """Returns a copy whose weights, and what else it learned, are in random places.

    Each tensor of a model behind its front layers keeps its numbers in another order, so that scales and
    what must be positive stay (Adebayo et al. 2018 draw them anew). Whole numbers and tensors with
    infinite ones, which are how trees are built, stay; the values of leaves move.
    """
    other = copy.deepcopy(pipeline)
    generator = torch.Generator().manual_seed(derive_seed(seed, "scrambled weights", number))
    with torch.no_grad():
        for member, _ in members_of(other):
            for tensor in _learned(member.body):
                if (
                    tensor.is_floating_point()
                    and tensor.numel() > 1
                    and bool(tensor.isfinite().all())
                ):
                    order = torch.randperm(tensor.numel(), generator=generator)
                    tensor.copy_(tensor.flatten()[order].view_as(tensor))
    return other


def _learned(module: nn.Module) -> Sequence[Tensor]:
    return [*module.parameters(), *module.buffers()]


def subject_of(subject: Subject, pipeline: Pipeline) -> Subject:
    """Returns the same subject with a module's predictions in the place of a graph's."""

    def predict(examples: Examples) -> NDArray[np.float32]:
        parts = []
        with torch.no_grad():
            for start in range(0, len(examples), 4096):
                own = [examples.inputs[name][start : start + 4096] for name in pipeline.names]
                parts.append(pipeline(*own).float().numpy())
        return np.concatenate(parts)

    return Subject(subject.schema, predict, subject.shift)


def unshifted_values(shift: float) -> Callable[[Tensor], Tensor]:
    """Returns what takes a shift of two classes' odds out of probabilities."""

    def shown(values: Tensor) -> Tensor:
        if not shift:
            return values
        second = values[:, 1] / (values[:, 1] + (1.0 - values[:, 1]) * float(np.exp(shift)))
        return torch.stack([1.0 - second, second], 1)

    return shown
