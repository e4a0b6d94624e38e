"""Hidden features as what is taught: what a network computes on its way, held to what another one does.

Layers of both are paired. Where a student's units are some of the teacher's (those that pruning left),
these are picked; where widths differ otherwise, a linear map that is learned along, and dropped then,
takes the student's to the teacher's (Romero et al., FitNets, ICLR 2015).

Shape legend: `B` rows of a batch, `U` units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pawl.compression.tuning import seen
from pawl.data.types import Examples
from pawl.models import Deployed

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_WEIGHT = 0.5
"""Of the features' term beside the loss; 1 is what a constant guess of each unit would have."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two layers whose outputs should say the same.

    Attributes:
        student: Name of the student's layer, within its body.
        teacher: Name of the teacher's.
        places: Which of the teacher's units the student's are, `[U]`; `None` if that is not known.
    """

    student: str
    teacher: str
    places: Tensor | None = None


class Features(nn.Module):
    """A term of the loss: mean squared difference of features, relative to the teacher's variance.

    Args:
        student: What learns.
        teacher: What is learned from; it is not changed.
        pairs: Layers, at least one; linear or convolutional ones.

    Attributes:
        maps: From the student's units to the teacher's, for pairs of which it is not known who is who;
            they are learned along.
    """

    def __init__(self, student: Deployed, teacher: Deployed, pairs: Sequence[Pair]) -> None:
        super().__init__()
        self._pairs = tuple(pairs)
        self._student, self._teacher = (student,), (teacher,)  # are no parts of it
        self.maps = nn.ModuleDict()
        ours, theirs = (dict(each.body.named_modules()) for each in (student, teacher))
        for pair in pairs:
            if pair.places is None:
                units = len(ours[pair.student].weight), len(theirs[pair.teacher].weight)
                self.maps[_key(pair)] = nn.Linear(*units)

    @contextmanager
    def listening(self) -> Iterator[dict[str, Tensor]]:
        """Gives what the student's layers put out in the last call."""
        with _outputs(self._student[0], [pair.student for pair in self._pairs]) as heard:
            yield heard

    def forward(self, heard: Mapping[str, Tensor], rows: Examples, batch: Tensor) -> Tensor:
        """Returns the term.

        Args:
            heard: What the student's layers put out of these rows.
            rows: All rows.
            batch: Places of those that were asked, `[B]`.
        """
        teacher, terms = self._teacher[0], []
        with _outputs(teacher, [pair.teacher for pair in self._pairs]) as said, torch.no_grad():
            teacher.body(seen(teacher, rows, batch))
        for pair in self._pairs:
            mine, theirs = heard[pair.student], said[pair.teacher]
            if pair.places is None:
                mine = self.maps[_key(pair)](mine)
            else:
                theirs = theirs[..., pair.places]
            terms.append((mine - theirs).square().mean() / theirs.var().clamp_min(1e-6))
        return _WEIGHT * torch.stack(terms).mean()


def _key(pair: Pair) -> str:
    return pair.student.replace(".", "/")


@contextmanager
def _outputs(network: Deployed, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Gives what layers put out, their units last, `[B, ..., U]`."""
    layers, heard = dict(network.body.named_modules()), dict[str, Tensor]()

    def keep(name: str, out: Tensor) -> None:
        linear = isinstance(layers[name], nn.Linear)
        heard[name] = out if linear else out.movedim(1, -1)

    handles = [
        layers[name].register_forward_hook(lambda _, __, out, name=name: keep(name, out))
        for name in names
    ]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def called(network: Deployed, inputs: Sequence[Tensor]) -> list[str]:
    """Returns the names of a network's layers in the order of their calls; each is called once.

    Those that are called more often are left out: which call is which is not known of another network.
    """
    found: list[str] = []
    handles = [
        layer.register_forward_hook(lambda _, __, ___, name=name: found.append(name))
        for name, layer in network.body.named_modules()
        if isinstance(layer, LAYERS)
    ]
    with torch.no_grad():
        network(*inputs)
    for handle in handles:
        handle.remove()
    return [name for name in found if found.count(name) == 1]


def alike(student: Deployed, teacher: Deployed, inputs: Sequence[Tensor]) -> list[Pair]:
    """Returns pairs of hidden layers of two networks of which neither was made of the other.

    In the order of calls where both have as many; else the last hidden ones. The last layer's outputs
    are predictions, and no features.
    """
    ours, theirs = called(student, inputs)[:-1], called(teacher, inputs)[:-1]
    if len(ours) != len(theirs):
        ours, theirs = ours[-1:], theirs[-1:]
    layers = dict(student.body.named_modules()), dict(teacher.body.named_modules())
    return [
        Pair(mine, other)
        for mine, other in zip(ours, theirs, strict=False)
        if type(layers[0][mine]) is type(layers[1][other])
    ]
