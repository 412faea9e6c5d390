"""Alerts by number, for people who read what a server answered."""

from collections.abc import Mapping
from functools import cache

from otpc_policy.core.registries.csv_files import assigned_names, read_columns

_REGISTERED = "iana/tls-parameters-6.csv"


@cache
def alerts() -> Mapping[int, str]:
    """Return every registered alert, those of older versions included: names by number."""
    return assigned_names(read_columns(_REGISTERED, "Value", "Description"))


def alert_name(description: int) -> str:
    """Return an alert as "handshake_failure (40)"; one without a name is "alert 200"."""
    name = alerts().get(description)
    return f"{name} ({description})" if name is not None else f"alert {description}"
