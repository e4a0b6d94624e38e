"""What can be predicted, by name."""

from pawl.kinds.classes import AnyOf, OneOf
from pawl.kinds.conformal import Conformal, refuse_coverage
from pawl.kinds.kind import NOTHING, Kind, over_places
from pawl.kinds.places import ClassAtEachPixel, ClassAtEachStep, ValueAtEachPixel
from pawl.kinds.values import SeveralValues, Values
from pawl.options import KindName

KINDS: dict[KindName, Kind] = {
    kind.name: kind
    for kind in (
        OneOf("binary", "binary classification", "roc_auc",
              "[B, 2] or, for one logit, [B] or [B, 1]"),
        OneOf("multiclass", "multiclass classification", "accuracy", "[B, {outputs}]"),
        AnyOf(),
        ClassAtEachStep(),
        ClassAtEachPixel(),
        Values(),
        SeveralValues(),
        ValueAtEachPixel(),
    )
}  # fmt: skip

__all__ = ["KINDS", "NOTHING", "Conformal", "Kind", "KindName", "over_places", "refuse_coverage"]
