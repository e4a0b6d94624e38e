"""What a modality is: all that depends on what the inputs are, in one object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from pawl.data.types import Examples, ModelSpec, Schema
from pawl.models import base_layers
from pawl.recipe import Recipe
from pawl.techniques import Facts


class Modality(ABC):
    """What inputs of one sort ask for: layers in front, a network, a baseline, and good starts.

    Which augmentations fit is said by each technique, from the shapes of the inputs.

    Attributes:
        name: Unique.
        sample_rows: How many training rows model techniques look at.
        one_vector: Whether a user's own model gets all inputs as one vector of floats `[B, F]`.

    Example:
        >>> import torch
        >>> from pawl.modalities import Tensors
        >>> class Waves(Tensors):
        ...     name = "waves"
        ...     def takes(self, schema):
        ...         return [len(spec.shape) for spec in schema.inputs] == [2]
        ...     def net(self, spec):
        ...         channels, _ = spec.inputs[0].shape
        ...         return torch.nn.Sequential(
        ...             torch.nn.Conv1d(channels, 16, 9), torch.nn.ReLU(),
        ...             torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten(),
        ...             torch.nn.Linear(16, spec.num_outputs),
        ...         )
        >>> from pawl.modalities import register_modality, unregister_modality
        >>> register_modality(Waves())
        >>> unregister_modality("waves")
    """

    name: ClassVar[str]
    sample_rows: ClassVar[int] = 4
    one_vector: ClassVar[bool] = False

    @abstractmethod
    def takes(self, schema: Schema) -> bool:
        """Tells whether data of such a schema is of this modality."""

    @abstractmethod
    def net(self, spec: ModelSpec) -> nn.Module:
        """Returns a fresh network, for tasks without a model; its forward takes the inputs as a user's.

        Raises:
            TaskError: Pawl has none for such inputs.
        """

    @abstractmethod
    def baseline(self, facts: Facts) -> Recipe:
        """Returns what a competent person would write first."""

    @abstractmethod
    def starts(self, start: Recipe, facts: Facts) -> Sequence[Recipe]:
        """Returns recipes known to be good, made from `start`, best first.

        Techniques in them that do not fit the task are taken out by who asks.
        """

    def learners(self, facts: Facts) -> Sequence[Recipe]:
        """Returns recipes of learners that fit in one go, in the order in which they are tried.

        None by default. Those that do not fit the task are left out by who asks.
        """
        del facts
        return ()

    def base_layers(
        self, schema: Schema, examples: Examples, rows: Tensor
    ) -> tuple[nn.Module, ...]:
        """Returns the layers without which nothing can be trained, fitted on training rows.

        By default they fill gaps, and turn 8-bit integers to floats.
        """
        return base_layers(schema, examples, rows)
