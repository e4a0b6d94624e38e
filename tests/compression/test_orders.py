"""Orders of steps: which are tried, which is kept, and that nothing is found out twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import onnx
import pytest
from bundles_to_compress import work_on
from graphs_to_compress import SCHEMA, examples, network

from pawl.compression import chain
from pawl.compression.candidate import Candidate
from pawl.compression.work import Work

WHOLE, MILD, STRONG = 60_000, 40_000, 10_000


def notes(graph: bytes, length: int | None = None) -> tuple[bytes, int]:
    """Returns a graph with notes of this length, and how long they were."""
    model = onnx.load_from_string(graph)
    before = len(model.doc_string)
    model.doc_string = "x" * (before if length is None else length)
    return bytes(model.SerializeToString()), before


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Two steps, of which the first one keeps the second from doing more than it did."""
    counted: Counter[str] = Counter()

    def cut(name: str, length: int, *, needs: int) -> chain.Step:
        def step(work: Work, current: Candidate) -> list[Candidate] | str:
            counted[name] += 1
            made, before = notes(current.graph, length)
            if before < needs:
                return "too little is left"
            return [replace(current, step=name, detail=name, graph=made, is_lossless=True)]

        return step

    steps = {
        "same": cut("same", WHOLE - 10_000, needs=WHOLE),
        "mild": cut("mild", MILD, needs=MILD + 1),
        "strong": cut("strong", STRONG, needs=MILD + 5_000),
    }
    monkeypatch.setattr(chain, "STEPS", steps)
    monkeypatch.setattr(chain, "MOVES", ((("strong",), "mild"), (("strong",), "same")))
    return counted


def ran(orders: int) -> chain.Chain:
    graph, _ = notes(network(), WHOLE)
    work, current = work_on(SCHEMA, examples(graph, 200), graph, metric="rmse")
    found = chain.Chain(work, work.judge, work.rows, current, orders)
    found.run()
    return found


def test_an_order_that_leaves_a_smaller_model_is_kept(calls: Counter[str]) -> None:
    usual = ran(1)
    assert usual.tried[usual.at].record.step == "mild"
    assert calls == {"same": 1, "mild": 1, "strong": 1}
    calls.clear()
    other = ran(4)
    last = other.tried[other.at]
    assert (last.record.step, last.record.order) == ("strong", "strong before mild")
    # What starts from a model for the second time is known: `same` in the second order, from the
    # original. The third order has `strong` first, behind which the others have nothing to do.
    assert calls["same"] <= 2
    assert {t.record.order for t in other.tried} >= {"", "strong before mild"}
    original = other.measure(64)
    other.settle(original)
    assert [t.record.step for t in other.tried if t.record.accepted] == ["same", "strong"]
    given_up = [t.record for t in other.tried if t.record.step == "mild" and not t.record.order]
    assert given_up[0].reason.endswith("another model is left")


def test_orders_that_could_not_differ_are_not_tried(
    calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # `strong` is not kept behind `mild`, so that `same` in front of it would do what it did.
    monkeypatch.setattr(chain, "MOVES", ((("same",), "strong"),))
    found = ran(4)
    assert calls == {"same": 1, "mild": 1, "strong": 1}
    assert {t.record.order for t in found.tried} == {""}


def test_an_order_that_is_no_better_is_on_record_alone(
    calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "MOVES", ((("mild",), "same"),))
    found = ran(4)
    assert found.tried[found.at].record.order == ""
    assert {t.record.order for t in found.tried} == {"", "mild before same"}
