"""What state of IANA's registries the files have, for people who wonder how old they are."""

from dataclasses import dataclass
from datetime import date

from otpc_policy.core.registries.csv_files import read_columns


@dataclass(frozen=True, slots=True)
class RegistryState:
    """The state of one file. as_of: None where it was written from RFCs. up_to: the last RFC."""

    file: str
    as_of: date | None
    up_to: str


def registry_states() -> tuple[RegistryState, ...]:
    """Return the state of each file of IANA's."""
    return tuple(
        RegistryState(file, date.fromisoformat(as_of) if as_of else None, up_to)
        for file, as_of, up_to in read_columns("iana-states.csv", "File", "As of", "Up to")
    )
