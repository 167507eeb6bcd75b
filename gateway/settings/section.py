"""One table of the settings, and what is wrong with a value of it."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Section(BaseModel):
    """A table: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def wrong(what: str, how: str) -> PydanticCustomError:
    """To be raised by a validator: what is wrong with the value, and how to mend it."""
    return PydanticCustomError("weighbridge", "{what}", {"what": what, "how": how})


def _env_name(value: str) -> str:
    if not _ENV_NAME.fullmatch(value):
        raise wrong(
            "is not the name of an environment variable",
            "Write the variable's name (OPENAI_API_KEY), not the key itself",
        )
    return value


EnvName = Annotated[str, AfterValidator(_env_name)]
