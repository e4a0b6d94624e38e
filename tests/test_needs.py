"""What techniques need, as listings tell it."""

from __future__ import annotations

import pytest

from pawl.listing import describe, needed
from pawl.needs import needs
from pawl.techniques import technique, techniques


@pytest.mark.parametrize(
    ("name", "fits", "of_others"),
    [
        ("flip", {"gray images", "images in color"}, "the task has no images"),
        ("hue", {"images in color"}, "it needs images in color, with 3 channels"),
        ("token_dropout", {"texts"}, ""),
        ("time_warp", {"sequences of numbers"}, "the task has no sequences of numbers"),
        ("huber", {"values in a table"}, "it is for values, and this task predicts classes"),
        ("l2_sp", {"one that has learned"}, ""),
        ("progressive_resizing", {"a network of your own", "one that has learned"}, ""),
    ],
)
def test_a_technique_is_asked_of_a_task_of_each_sort(
    name: str, fits: set[str], of_others: str
) -> None:
    found = needs(technique(name))
    own = {"a network of your own", "one that has learned"}
    assert {sort for sort, reason in found.items() if reason is None} - own == fits - own
    assert fits <= {sort for sort, reason in found.items() if reason is None}
    assert of_others in "; ".join(reason for reason in found.values() if reason)
    assert all("\n" not in reason for reason in found.values() if reason)


def test_listings_say_it_where_there_is_something_to_say() -> None:
    assert describe(technique("adamw"))["needs"] == []
    assert describe(technique("adamw"))["fits_every_task"]
    told = needed(describe(technique("hue")))
    assert told.startswith(
        "fits images in color; of others it says: the task has no images; it needs"
    )


def test_all_but_a_few_fit_a_made_up_task() -> None:
    every = {t.name for t in techniques() if all(needs(t).values())}
    assert every == {"weight_tying", "recurrent_attention", "attention_heads"}
