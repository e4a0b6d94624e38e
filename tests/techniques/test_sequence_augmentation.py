"""Augmentations of sequences on tensors of their own."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from problems import problem

from pawl.techniques import Batch, BatchTechnique, Targets, technique

KEY = torch.tensor([3, 9], dtype=torch.int32)
ROWS, STEPS = 64, 40


def changed(name: str, x: torch.Tensor, **values: tuple[float, float]) -> torch.Tensor:
    found = technique(name)
    assert isinstance(found, BatchTechnique)
    batch = Batch({"x": x, "n": torch.ones(2, ROWS, 3)}, Targets(torch.zeros(2, ROWS)))
    settings = SimpleNamespace(**{key: torch.tensor(value) for key, value in values.items()})
    after = found.apply(batch, settings, KEY)
    assert torch.equal(after.inputs["n"], batch.inputs["n"])
    return after.inputs["x"]


def test_channels_are_multiplied_by_one_factor_each() -> None:
    x = torch.rand(2, ROWS, STEPS, 3) + 1.0
    factor = changed("magnitude_scaling", x, deviation=(0.1, 0.4)) / x
    assert torch.allclose(factor, factor[:, :, :1].expand_as(factor), atol=1e-5)
    first, second = factor[:, :, 0].flatten(1)
    assert abs(float(first.mean()) - 1.0) < 0.05
    assert abs(float(first.std()) - 0.1) < 0.03
    assert abs(float(second.std()) - 0.4) < 0.1


def test_one_run_of_steps_is_hidden_in_all_channels() -> None:
    hidden = changed("span_masking", torch.ones(2, ROWS, STEPS, 3), share=(0.2, 0.6)) == 0.0
    assert torch.equal(hidden, hidden[..., :1].expand_as(hidden))
    runs = hidden[..., 0].float()
    starts = (runs.diff(dim=2) > 0).sum(2) + runs[..., 0]
    assert (starts <= 1).all()
    lengths = runs.sum(2)
    assert lengths[0].max() <= 0.2 * STEPS + 1
    assert lengths[1].max() > 0.4 * STEPS
    assert (runs.sum(1) > 0).float().mean() > 0.9  # anywhere


def test_a_warped_line_rises_from_its_start_to_its_end() -> None:
    line = torch.arange(STEPS, dtype=torch.float32).view(1, 1, -1, 1).expand(2, ROWS, -1, 2)
    found = changed("time_warp", line.clone(), deviation=(0.05, 0.6))
    torch.testing.assert_close(found[:, :, 0], line[:, :, 0])
    torch.testing.assert_close(found[:, :, -1], line[:, :, -1], rtol=0, atol=1e-3)
    assert (found.diff(dim=2) > 0).all()
    away = (found - line).abs().amax((1, 2, 3))
    assert 0.05 < away[0] < 3.0 < away[1]


def test_a_warp_refuses_targets_on_steps() -> None:
    assert technique("time_warp").fits(problem("sequences").facts()) is None
    assert "no sequences" in str(technique("span_masking").fits(problem("images").facts()))
