"""What goes where, with made-up names and shapes of known answer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pawl.data.types import Column, InputSpec, Schema, TargetColumn
from pawl.errors import TaskError
from pawl.models import for_channels
from pawl.transfer.columns import Moved, moves
from pawl.transfer.matching import Match, check_share, match

MODEL = {
    "conv.weight": torch.zeros(4, 3, 3, 3),
    "bn.running_mean": torch.zeros(4),
    "bn.num_batches_tracked": torch.tensor(0),
    "body.0.weight": torch.zeros(5, 4),
    "fc.weight": torch.zeros(2, 5),
    "fc.bias": torch.zeros(2),
}


def filled(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    source = {name: torch.ones(x.shape) for name, x in MODEL.items()}
    return source | {name.replace("_", "."): torch.ones(shape) for name, shape in shapes.items()}


def found(source: dict[str, Tensor], **more: object) -> Match:
    return match(MODEL, source, head="fc", entry="conv", **more)  # type: ignore[arg-type]


def test_all_is_loaded_by_name() -> None:
    one = found(filled())
    assert one.share == 1.0
    assert one.tensors.keys() == MODEL.keys()
    assert one.head
    assert one.lines() == ["100.0% of the body loaded (3 of 3 tensors)"]


@pytest.mark.parametrize("lead", ["module.", "model.", "backbone.", "encoder.net.", "_orig_mod."])
def test_beginnings_that_the_source_has_are_taken_off_and_said(lead: str) -> None:
    one = found({f"{lead}{name}": x for name, x in filled().items()})
    assert one.share == 1.0
    assert not one.unused
    assert f"{lead!r} taken off names" in one.renamed


def test_beginnings_that_the_model_has_are_put_on() -> None:
    model = {f"backbone.{name}": x for name, x in MODEL.items()}
    one = match(model, filled(), head="backbone.fc")
    assert one.share == 1.0
    assert one.renamed == "'backbone.' put before names"


def test_what_normalizations_are_called_elsewhere_is_known_and_said() -> None:
    source = filled()
    model = MODEL | {"bn.weight": torch.zeros(4), "bn.bias": torch.zeros(4)}
    source |= {"bn.gamma": torch.ones(4), "bn.beta": torch.full((4,), 2.0)}
    one = match(model, source, head="fc")
    assert one.tensors["bn.bias"].tolist() == [2.0] * 4
    assert one.renamed == "'gamma' read as 'weight', 'beta' read as 'bias'"
    # A model that has such a name itself, or a source that has both, is taken at its word.
    one = match(model | {"bn.gamma": torch.zeros(4)}, source, head="fc")
    assert "bn.weight" in one.missing
    one = match(model, source | {"bn.weight": torch.full((4,), 3.0)}, head="fc")
    assert one.tensors["bn.weight"].tolist() == [3.0] * 4


def test_names_that_a_model_saves_itself_under_are_read_behind_other_beginnings() -> None:
    saved = {f"old.{name.replace('.', '/')}": name for name in MODEL}
    source = {f"whole.{name.replace('.', '/')}": x for name, x in filled().items()}
    one = match(MODEL, source, head="fc", saved=saved)
    assert one.share == 1.0
    assert one.head
    assert one.renamed.startswith("read by the names that the model saves itself under")


def test_a_head_of_another_size_is_new_and_no_part_of_the_share() -> None:
    one = found(filled(fc_weight=(10, 5), fc_bias=(10,)))
    assert one.share == 1.0
    assert not one.head
    assert not any(name.startswith("fc.") for name in one.tensors)
    assert not found(filled(), fresh_head=True).head


def test_kernels_for_other_channels_are_adapted_and_said() -> None:
    one = found(filled(conv_weight=(4, 1, 3, 3)))
    assert one.share == 1.0
    assert torch.equal(one.tensors["conv.weight"], torch.full((4, 3, 3, 3), 1 / 3))
    assert one.adapted == {"conv.weight": "repeated from 1 input channels to 3"}


def test_what_differs_is_said_by_name_and_fails_below_nine_tenths() -> None:
    source = filled(conv_weight=(4, 3, 5, 5)) | {"more.weight": torch.ones(1)}
    del source["bn.running_mean"]
    one = found(source)
    assert one.share == pytest.approx(20 / (108 + 4 + 20))
    assert one.skipped == {"conv.weight": "[4, 3, 5, 5], not [4, 3, 3, 3]"}
    assert one.missing == ("bn.running_mean",)
    assert one.unused == ("more.weight",)
    with pytest.raises(TaskError, match=r"15\.2% of its body.*conv\.weight.*allow_partial"):
        check_share(one, "'x.pt'", allow_partial=False)
    check_share(one, "'x.pt'", allow_partial=True)


def test_weights_of_which_only_the_head_fits_are_refused_even_if_asked_for() -> None:
    one = found({name: x for name, x in filled().items() if name.startswith("fc.")})
    with pytest.raises(TaskError, match=r"only its last layer is known: 0\.0%"):
        check_share(one, "'x.pt'", allow_partial=True)


@given(st.integers(1, 6), st.integers(1, 6))
def test_equal_channels_give_what_they_gave_before(count: int, channels: int) -> None:
    kernels = torch.randn(2, count, 3, generator=torch.Generator().manual_seed(count))
    if channels == count:
        assert torch.allclose(for_channels(kernels, channels), kernels) or channels == 1
    if channels % count == 0 or channels == 1:
        before, after = kernels.sum(1), for_channels(kernels, channels).sum(1)
        assert torch.allclose(before, after, atol=1e-5)


def schema(numbers: tuple[str, ...], missing: tuple[bool, ...], colors: tuple[str, ...]) -> Schema:
    return Schema(
        source="table",
        kind="binary",
        targets=(TargetColumn(name="y", classes=("no", "yes")),),
        columns=(
            *(Column(name=name, kind="numeric") for name in numbers),
            Column(name="color", kind="categorical", categories=colors),
        ),
        inputs=(
            InputSpec(
                name="numeric", shape=(len(numbers),), dtype="float32", features=numbers, missing=missing
            ),
            InputSpec(
                name="categorical", shape=(1,), dtype="int64", features=("color",),
                cardinalities=(len(colors) + 1,),
            ),
        ),
    )  # fmt: skip


def test_columns_and_categories_of_tables_go_by_name() -> None:
    own = schema(("a", "b"), (False, True), ("blue", "red"))
    theirs = schema(("b", "c", "a"), (True, True, False), ("green", "red"))
    one = moves(own, theirs, 2)
    table = torch.tensor([[0.0], [10.0], [20.0]])  # unknown, green, red
    assert one["embedding"].put(torch.full((3, 1), -1.0), table).flatten().tolist() == [  # type: ignore[union-attr]
        0.0, -1.0, 20.0,
    ]  # fmt: skip
    stem = torch.arange(7.0).unsqueeze(0)  # b, c, a, b missing, c missing, two of the color
    put = one["stem"].put(torch.full((1, 5), -1.0), stem)
    assert put is not None
    assert put.flatten().tolist() == [2.0, 0.0, 3.0, 5.0, 6.0]
    assert moves(own, own, 2) == {}


def test_a_tensor_of_another_size_is_not_rearranged() -> None:
    one = Moved(0, (("a",), ("b",)), (("b",), ("a",)))
    assert one.put(torch.zeros(3, 1), torch.zeros(2, 1)) is None
    assert one.put(torch.zeros(2, 1), torch.zeros(2, 2)) is None
