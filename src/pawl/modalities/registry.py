"""Which modality some data is of: users' own are asked first."""

from __future__ import annotations

from pawl.data.types import Schema
from pawl.errors import TaskError, printable
from pawl.modalities.images import Images
from pawl.modalities.modality import Modality
from pawl.modalities.sequences import Sequences, Texts, Windows
from pawl.modalities.vectors import Table, Tensors

_SHIPPED: tuple[Modality, ...] = (Texts(), Windows(), Table(), Images(), Sequences(), Tensors())
_OWN: dict[str, Modality] = {}


def register_modality(modality: Modality) -> None:
    """Adds a modality of your own for this process; it is asked before the shipped ones.

    Raises:
        TaskError: It is no modality, or the name is taken.
    """
    if not isinstance(modality, Modality):
        raise TaskError(
            f"got {printable(repr(modality))}; give an instance of a class made from "
            "pawl.modalities.Modality"
        )
    if modality.name in _OWN or any(modality.name == known.name for known in _SHIPPED):
        raise TaskError(
            f"a modality named {modality.name!r} exists already; give yours another name"
        )
    _OWN[modality.name] = modality


def unregister_modality(name: str) -> None:
    """Takes a modality that was registered out again; unknown names are ignored."""
    _OWN.pop(name, None)


def modality_of(schema: Schema) -> Modality:
    """Returns the first modality that takes data of such a schema, the last registered first."""
    return next(m for m in (*reversed(_OWN.values()), *_SHIPPED) if m.takes(schema))
