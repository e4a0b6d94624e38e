"""The values that data becomes: named tensors, and a schema that says how raw rows turn into them.

Shape legend: `R` rows, `F` numeric features, `K` categorical columns, `T` tokens, `C` classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from torch import Tensor

from pawl.data.blocks import Blocks
from pawl.data.numbers import Marks
from pawl.data.tokens import is_text
from pawl.errors import TaskError
from pawl.kinds import KINDS, KindName
from pawl.options import ColumnKind

_SELDOM = ("zoned", "sign")
_TEXT_WIDTH = 16_384
Inputs = dict[str, Tensor]
"""Named tensors, batch first, in the order the model takes them.

Tables have `numeric` (`[R, F]` float32, NaN where missing) and `categorical` (`[R, K]` int64 codes,
0 for missing or unknown), either of them absent when there is no such column, and of columns of text
`text`, `text_2`, ... (`[R, T]` int64 token ids, 0 behind the last), and `window` (`[R, N, C]` float32)
where rows see those before them. Images have `image`
(`[R, channels, height, width]` uint8). Arrays keep the user's names, or `x` / `x0`, `x1`, ...
"""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Value):
    """One column of a table, as it was read.

    Attributes:
        name: The column's header.
        kind: `numeric`, `boolean`, `date`, `categorical` or `text`.
        categories: The known categories in order; code 1 is the first, 0 is missing or unknown.
        missing: Whether development rows miss it.
        date_format: How a date is written as text, as in `pawl.ReadOptions`.
        tokenizer: What makes token ids of a text, as JSON; see `pawl.data.tokens`.
        zoned: Whether all or some of its dates have zones; they are read in UTC then.
        sign: What stands beside each of its numbers, such as `$` or `%`.
    """

    name: str
    kind: ColumnKind
    categories: tuple[str, ...] = ()
    missing: bool = False
    date_format: str = "ymd"
    tokenizer: str = ""
    zoned: Literal["", "all", "some"] = ""
    sign: str = ""

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out what most columns lack, so that they are written as ever."""
        written: dict[str, Any] = write(self)
        return {name: value for name, value in written.items() if value or name not in _SELDOM}

    @model_validator(mode="after")
    def _has_tokenizer(self) -> Self:
        if (self.kind == "text") != bool(self.tokenizer):
            lacks = "has no tokenizer" if self.kind == "text" else "has one, and is no text"
            raise ValueError(f"the column {self.name!r} {lacks}")
        return self


class InputSpec(_Value):
    """One of the model's inputs.

    Attributes:
        name: Its key in `Inputs`.
        shape: Its shape without the batch axis.
        dtype: `float32`, `int64` or `uint8`.
        features: Names along the last axis, for tables: one per numeric feature or categorical
            column (a date gives several features).
        missing: For numbers whose gaps pawl fills (those of tables, and those of arrays for pawl's
            own networks): which features of a row may be missing, one flag per entry of the last
            axis. Only the features of vectors are flagged; an input without flags is not filled.
        cardinalities: For `categorical`: number of codes per column, the 0 included.
        tokens: For a text: number of token ids, that of padding (0) included; 0 for all else.
        is_mask: Whether it tells which steps of padded rows are there, as 1 and 0.
        span: For whole numbers of arrays: the least and the largest that development rows have.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Literal["float32", "int64", "uint8"]
    features: tuple[str, ...] = ()
    missing: tuple[bool, ...] = ()
    cardinalities: tuple[int, ...] = ()
    tokens: int = 0
    is_mask: bool = False
    span: tuple[int, int] = (0, 0)


class TargetColumn(_Value):
    """What is predicted, or one of several things that are.

    Attributes:
        name: A column's header, `class` for images, `target` for arrays.
        classes: Class names in index order; of a label, that it isn't there and that it is; empty for a
            quantity, and for classes that are numbers only.
        count: Number of such classes.
        shape: The places of a row that it lies on, `[L]` or `[H, W]`; empty if it is one value.
    """

    name: str
    classes: tuple[str, ...] = ()
    count: int = 0
    shape: tuple[int, ...] = ()


class Window(_Value):
    """What a row of a table sees of the rows before it: the input `window`, `[N, C]`, oldest first.

    Attributes:
        steps: `N`, how many rows.
        ahead: How many times the latest of them lies before the row's own; at least 1.
        time: The columns by which rows are in order, the first one first.
        date_format: How dates in them are written.
        series: The column whose values are series of their own; `None` if all rows are one.
        columns: What is seen of them beside their targets; categories are columns of 0 and 1.
        features: Names of the numbers among these columns, as an input has them.
    """

    steps: int
    ahead: int = 1
    time: tuple[str, ...]
    date_format: str = "ymd"
    series: str | None = None
    columns: tuple[Column, ...] = ()
    features: tuple[str, ...] = ()


class Schema(_Value):
    """How raw rows turn into tensors, and what the model is to predict. JSON, kept in the bundle.

    Attributes:
        source: `table`, `images` or `arrays`.
        kind: What is predicted.
        targets: One, or several, in the order of the model's outputs.
        columns: A table's feature columns, in order; columns that were dropped are not here.
        window: What its rows see of those before them, if they see any.
        inputs: The model's inputs, in the order its forward takes them.
        style: How the user's model is called: `single` (`model(x)`), `tuple` (`model(*xs)`) or
            `dict` (`model(**xs)`, or `model(xs)` if its forward takes one argument).
        image_mode: For images: `L` or `RGB`.
        separator: What separates the cells of CSV files; found anew for each if `None`.
        encoding: Their encoding; found anew for each if `None`.
        decimal: The decimal marks of numbers written as text: the user's one, or both, the usual
            one first.
    """

    source: Literal["table", "images", "arrays"]
    kind: KindName
    targets: tuple[TargetColumn, ...]
    columns: tuple[Column, ...] = ()
    window: Window | None = None
    inputs: tuple[InputSpec, ...] = ()
    style: Literal["single", "tuple", "dict"] = "single"
    image_mode: Literal["L", "RGB"] = "RGB"
    separator: str | None = None
    encoding: str | None = None
    decimal: Marks = ".,"

    def reading(self) -> str:
        """Returns as JSON how rows are read: all but what numbers they were seen to have."""
        return self.model_dump_json(exclude={"inputs": {"__all__": {"span"}}})

    @property
    def target(self) -> str:
        """The target's name, or the names of several."""
        return ", ".join(column.name for column in self.targets)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in index order, where one of several classes is predicted; else empty."""
        return self.targets[0].classes if KINDS[self.kind].exclusive else ()

    @property
    def num_outputs(self) -> int:
        """Width of the model's last layer: one logit per class or label, or one value per target."""
        if KINDS[self.kind].exclusive:
            return self.targets[0].count or len(self.classes)
        return len(self.targets)

    @property
    def places(self) -> tuple[int, ...]:
        """The places of a row that targets lie on; empty if there are none."""
        return self.targets[0].shape


@dataclass(frozen=True)
class ModelSpec:
    """What a user's model factory may take to size its layers: `model(spec)`.

    Attributes:
        inputs: The model's inputs, in the order its forward takes them.
        num_outputs: Width of the last layer: one logit per class or label, or one value per target.
        kind: What is predicted.
    """

    inputs: tuple[InputSpec, ...]
    num_outputs: int
    kind: KindName

    @property
    def num_features(self) -> int:
        """Length of the one float vector per row that a table's or single array's model gets.

        For a table: one value per numeric feature, one indicator per numeric feature that may be
        missing, and a one-hot of each categorical column (the code 0 included). For a single array:
        the product of its shape.

        Raises:
            TaskError: If there are several inputs that are not a table's, or texts or a window
                among them.
        """
        plain = [s.features and not s.tokens and len(s.shape) == 1 for s in self.inputs]
        if plain and all(plain):
            return sum(
                sum(spec.cardinalities) if spec.cardinalities else spec.shape[0] + sum(spec.missing)
                for spec in self.inputs
            )
        if len(self.inputs) != 1:
            names = ", ".join(spec.name for spec in self.inputs)
            raise TaskError(
                f"num_features is for a table without texts or windows, or for a single array, and this "
                f"data has the inputs {names}; size the layers by spec.inputs[i].shape"
            )
        return math.prod(self.inputs[0].shape)


@dataclass(frozen=True)
class Examples:
    """Rows as tensors.

    Attributes:
        inputs: Every tensor has the rows on its first axis.
        targets: `[R, *S]`, class indices or values (`pawl.kinds`); `None` when unknown (prediction).
        files: For images that `read_like` read from files: each row's path inside the source.
        blocks: Which rows belong together or come later, if that was said.
    """

    inputs: Inputs
    targets: Tensor | None
    files: tuple[str, ...] = ()
    blocks: Blocks | None = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def width(self) -> int:
        """About how many numbers are computed of a row, by which rows are taken at a time."""
        return sum(
            _TEXT_WIDTH if is_text(name) else math.prod(x.shape[1:])
            for name, x in self.inputs.items()
        )

    @property
    def known_targets(self) -> Tensor:
        """The targets of rows that have them."""
        assert self.targets is not None
        return self.targets

    def take(self, rows: Tensor) -> Examples:
        """Returns the rows at these indices (`[R']` int64)."""
        return Examples(
            {name: tensor[rows] for name, tensor in self.inputs.items()},
            None if self.targets is None else self.targets[rows],
            blocks=None if self.blocks is None else self.blocks.take(rows),
        )

    def to(self, device: torch.device | str) -> Examples:
        """Returns the rows on another device."""
        return Examples(
            {name: tensor.to(device) for name, tensor in self.inputs.items()},
            None if self.targets is None else self.targets.to(device),
            blocks=self.blocks,
        )


@dataclass(frozen=True)
class LoadedData:
    """A task's data, read.

    Attributes:
        schema: How it was read.
        development: Rows that the search and the confirmation may use.
        test: Rows set aside for the final claim (the user's, or a stratified share).
        name: What reports call the data.
        notes: What a reader should know (columns dropped, rows without a target, ...), a line each.
        fingerprint: SHA-256 over schema and tensors, so that a resumed campaign can tell that its
            data changed.
        left_out: The columns of a table that are not used; the notes say why.
    """

    schema: Schema
    development: Examples
    test: Examples
    name: str
    notes: tuple[str, ...]
    fingerprint: str
    left_out: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """What is predicted from what, in a line: kind, target, rows, and columns left out."""
        schema = self.schema
        rows = len(self.development) + len(self.test)
        named = list_names([column.name for column in schema.targets])
        classes = f" ({len(schema.classes)} classes)" if schema.kind == "multiclass" else ""
        parts = [f"{KINDS[schema.kind].phrase} of {named}{classes}, {rows:,} rows"]
        if schema.columns:
            parts.append(f"{len(schema.columns):,} column(s)")
        if schema.window is not None:
            parts.append(f"windows of {schema.window.steps:,} rows before")
        if self.left_out:
            parts.append(f"left out: {list_names(self.left_out)}")
        return ", ".join(parts)


def list_names(names: Sequence[str], most: int = 10) -> str:
    """`'a', 'b', 'c'`, cut after `most`."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown}, ... ({len(names)} in all)"
