"""What all values share that are kept in files of JSON."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A value that does not change, of the fields that it names and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Document(Value):
    """A value that is a file of its own. A field `schema_` is `schema` there."""

    model_config = ConfigDict(populate_by_name=True)

    def to_json(self) -> str:
        """Returns it as indented JSON."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=2) + "\n"
