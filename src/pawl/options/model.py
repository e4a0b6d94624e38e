"""What all options share: they are frozen, and what is wrong with one is said in one line."""

from __future__ import annotations

import functools
import operator
import types
from typing import Annotated, Any, Self, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_core import ErrorDetails

from pawl.errors import TaskError, did_you_mean, option

_LARGE = 2**63
_NO_NUMBER = (
    "value_error", "float_parsing", "float_type", "greater_than_equal", "less_than_equal",
)  # fmt: skip
"""What pydantic calls that which is no such number, or none within its bounds."""


class OptionsModel(BaseModel):
    """Options as fields; one that is `None` counts as not given.

    Raises:
        TaskError: One of them is unknown, or none that is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @model_validator(mode="wrap")
    @classmethod
    def _one_line(cls, given: Any, make: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return make({name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            raise TaskError(_line(cls, error.errors()[0])) from None

    @property
    def given(self) -> dict[str, Any]:
        """Those that were given, by name, in the order of the fields."""
        names = type(self).model_fields
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError from None


Whole = Annotated[int, BeforeValidator(_whole)]
"""A whole number, of NumPy too; its bounds are the field's."""


def plain(annotation: Any) -> Any:
    """Returns a type without what only checks it."""
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return functools.reduce(operator.or_, map(plain, get_args(annotation)))
    return annotation


def _line(model: type[OptionsModel], error: ErrorDetails) -> str:
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"got the unknown option {name!r}{did_you_mean(name, model.model_fields)}"
    if error["type"] == "missing":
        return f"{option(name)} is missing; give it"
    field = model.model_fields[name]
    if error["type"] == "literal_error":
        near = did_you_mean(str(error["input"]), str(error["ctx"]["expected"]).split("'")[1::2])
        allowed = f"{near}; allowed are {error['ctx']['expected']}"
    elif error["type"] in _NO_NUMBER:
        which = "number" if "float" in str(field.annotation) else "whole number"
        allowed = f"; give a {which}{_bounds(field)}"
    elif error["type"] == "string_type":
        allowed = "; give a text"
    else:
        allowed = f"; {error['msg'][0].lower()}{error['msg'][1:]}"
    return f"got {option(name, error['input'])}{allowed}"


def _bounds(field: FieldInfo) -> str:
    low = next((each.ge for each in field.metadata if hasattr(each, "ge")), None)
    high = next((each.le for each in field.metadata if hasattr(each, "le")), None)
    if high is None:
        return f", {low} or more"
    return f" from {low} to {'2**63 - 1' if high == _LARGE - 1 else high}"
