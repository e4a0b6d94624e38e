"""Where each weight tensor of a model lies in a row of a population's weight matrix.

Shape legend: `N` members, `P` weights of a model, `T` weight tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pawl.models.order import order_of, places


@dataclass(frozen=True)
class Layout:
    """Names, shapes and sizes of the `T` weight tensors, in the order in which they lie in a row.

    Attributes:
        names: Of the tensors.
        shapes: Of each.
        sizes: Numbers in each.
        layers: Which layer each is of, 0 for the first that runs; see `pawl.models.order`.

    Example:
        >>> layout = Layout.of(nn.Linear(3, 2))
        >>> layout.names, layout.sizes
        (('weight', 'bias'), (6, 2))
        >>> layout.views(torch.zeros(5, 8))["weight"].shape
        torch.Size([5, 2, 3])
        >>> layout.mask(lambda name, shape: len(shape) > 1)
        tensor([1., 1., 1., 1., 1., 1., 0., 0.])
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]
    layers: tuple[int, ...] = ()

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """Returns the layout of a module's parameters."""
        named = list(module.named_parameters())
        names = tuple(name for name, _ in named)
        return cls(
            names,
            tuple(tuple(p.shape) for _, p in named),
            tuple(p.numel() for _, p in named),
            places(names, order_of(module)),
        )

    def depths(self, device: torch.device | None = None) -> Tensor:
        """Returns for each weight how deep its layer lies, 0 for the first, 1 for the last, `[P]`."""
        last = max(self.layers, default=0)
        each = [place / last if last else 1.0 for place in self.layers]
        return self.spread(torch.tensor(each, device=device))

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Returns the tensors by name as views into `[P]` or `[N, P]`."""
        lead = flat.shape[:-1]
        pieces = torch.split(flat, list(self.sizes), dim=-1)
        return {
            name: piece.view((*lead, *shape))
            for name, shape, piece in zip(self.names, self.shapes, pieces, strict=True)
        }

    def flat(self, tensors: dict[str, Tensor], members: int) -> Tensor:
        """Returns `[N, P]` of tensors by name, each `[N, *shape]`."""
        return torch.cat([tensors[name].reshape(members, -1) for name in self.names], dim=1)

    def spread(self, values: Tensor) -> Tensor:
        """Returns one value for each weight, `[..., P]`, of one for each tensor, `[..., T]`."""
        each = values.unbind(-1)
        pieces = [
            value.unsqueeze(-1).expand(*value.shape, size)
            for value, size in zip(each, self.sizes, strict=True)
        ]
        return torch.cat(pieces, dim=-1)

    def mask(
        self,
        chosen: Callable[[str, tuple[int, ...]], bool],
        device: torch.device | None = None,
    ) -> Tensor:
        """Returns 1 for the weights of the tensors that are chosen by name and shape, else 0, `[P]`."""
        picked = [float(chosen(n, s)) for n, s in zip(self.names, self.shapes, strict=True)]
        pieces = [
            torch.full((size,), value, device=device)
            for value, size in zip(picked, self.sizes, strict=True)
        ]
        return torch.cat(pieces)
