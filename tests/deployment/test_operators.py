"""What the exporter knows of operators is gathered once, and says the same."""

from __future__ import annotations

import pytest
import torch
from problems import ALL_ROWS, plain, problem
from torch.export import exported_program
from torch.onnx._internal.exporter._registration import ONNXRegistry

from pawl.models import operators
from pawl.models.operators import operators_kept
from pawl.training.trained import untrained


def test_a_graph_is_the_same_whoever_gathered_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    task = problem("table")
    fresh = untrained(task, plain(), 0, ALL_ROWS[:64])
    rows = task.examples.take(ALL_ROWS[:4])
    kept = [fresh.graph(rows) for _ in range(2)]
    monkeypatch.setattr(operators, "_patches", list)
    assert kept == [fresh.graph(rows)] * 2


def test_tables_are_made_once_and_follow_what_libraries_add() -> None:
    def gathered() -> list[set[object]]:
        with operators_kept():
            return [exported_program._collect_all_valid_cia_ops() for _ in range(2)]

    first, second = gathered()
    assert first is second
    library = torch.library.Library("pawl_test", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: 2 * x, "CompositeImplicitAutograd")
    try:
        with operators_kept():
            assert (
                torch.ops.pawl_test.twice.default in exported_program._collect_all_valid_cia_ops()
            )
    finally:
        library._destroy()
    assert gathered()[0] == first


def test_another_version_of_pytorch_exports_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ONNXRegistry, "from_torchlib")
    with operators_kept():
        pass
    monkeypatch.undo()
    before = ONNXRegistry.from_torchlib
    with pytest.raises(AttributeError, match="of a model"), operators_kept():
        raise AttributeError("of a model")
    assert ONNXRegistry.from_torchlib == before
