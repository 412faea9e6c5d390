"""The settings of perspectives other than the one of the service's own engines."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from otpc_policy.app.settings.values import EngineAddress
from otpc_policy.core.perspective import perspective_name


def _name_or_none(text: str) -> str:
    return perspective_name(text) if text else text


PerspectiveName = Annotated[str, AfterValidator(perspective_name)]
NameOrNone = Annotated[str, AfterValidator(_name_or_none)]


class PerspectiveSettings(BaseModel):
    """Engines at another place on the network. See docs/perspectives.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    engine_addresses: tuple[EngineAddress, ...] = Field(
        min_length=1,
        description="The engines there, written as the service's own engine_addresses are.",
    )
