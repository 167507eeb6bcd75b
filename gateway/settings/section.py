"""One table of the settings, and what is wrong with a value of it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A table: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def wrong(what: str, how: str) -> PydanticCustomError:
    """To be raised by a validator: what is wrong with the value, and how to mend it."""
    return PydanticCustomError("weighbridge", "{what}", {"what": what, "how": how})
