"""The columns that a request's rows have, for `/schema` and for reading them."""

from __future__ import annotations

from typing import Any

from pawl.data import Column, Schema

_EXAMPLES: dict[str, tuple[Any, ...]] = {
    "boolean": (True,),
    "date": ("2026-01-31", "2026-02-01"),
    "text": ("a text",),
}


def columns_of_rows(schema: Schema) -> list[dict[str, Any]]:
    """Returns the columns of a table's rows, ready for JSON: `name`, `kind` and `categories`.

    With a window, rows also have their time, their series, and what later rows see of them: further
    columns, and targets.
    """
    found = {each.name: _column(each) for each in schema.columns}
    if (window := schema.window) is not None:
        for name in window.time:
            found.setdefault(name, {"name": name, "kind": "time"})
        if (series := window.series) is not None:
            found.setdefault(series, {"name": series, "kind": "categorical"})
        for each in window.columns:
            found.setdefault(each.name, _column(each))
        for target in schema.targets:
            kind = {"kind": "categorical", "categories": target.classes}
            found[target.name] = {
                "name": target.name, **(kind if target.classes else {"kind": "numeric"}),
            }  # fmt: skip
    return list(found.values())


def example_rows(schema: Schema) -> list[dict[str, Any]]:
    """Returns rows as a request may have them; with a window one that is predicted, and one before."""
    columns = columns_of_rows(schema)
    row = {each["name"]: _example(each, 0) for each in columns}
    if schema.window is None:
        return [row]
    later = {each["name"]: _example(each, -1) for each in columns}
    last = schema.window.time[-1]
    unknown = dict.fromkeys(target.name for target in schema.targets)
    return [row, {**row, last: later[last], **unknown}]


def _column(column: Column) -> dict[str, Any]:
    found: dict[str, Any] = {"name": column.name, "kind": column.kind}
    if column.kind == "categorical":
        found["categories"] = column.categories
    return found


def _example(column: dict[str, Any], place: int) -> Any:
    """Returns one of the values that a column may have: the first, or the last."""
    return (column.get("categories") or _EXAMPLES.get(column["kind"], (0, 1)))[place]
