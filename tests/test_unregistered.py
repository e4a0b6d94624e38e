"""Layers that PyTorch does not find, and those that only look like it."""

from __future__ import annotations

import torch
from torch import nn

from pawl.models import unregistered


class Held(nn.Module):
    """Holds something beside a layer."""

    def __init__(self, held: object) -> None:
        super().__init__()
        self.head, self.held = nn.Linear(2, 2), held


def test_what_lies_in_lists_and_dicts_is_found_with_its_address() -> None:
    inner = Held({"a": [nn.Linear(2, 2)], "b": (nn.ReLU(), nn.Linear(2, 2))})
    whole = nn.Sequential(inner, Held([nn.Parameter(torch.zeros(2))]))
    assert unregistered(whole) == [
        "'0.held' (a dict with 2 layers)",
        "'1.held' (a list with 1 parameter)",
    ]


def test_what_is_registered_too_frozen_or_has_no_weights_is_not_meant() -> None:
    layer = nn.Linear(2, 2)
    known = Held([layer])
    known.also = layer
    frozen = Held([nn.Linear(2, 2).requires_grad_(False)])
    plain = Held([nn.ReLU(), 3, "text", {"sizes": (2, 2)}])
    assert unregistered(nn.Sequential(known, frozen, plain)) == []


def test_recurrent_layers_with_other_weights_in_place_are_not_meant() -> None:
    lstm = nn.LSTM(3, 4)
    nn.utils.parametrizations.weight_norm(lstm, "weight_hh_l0")
    assert unregistered(lstm) == []
