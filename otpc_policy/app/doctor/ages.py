"""How old the data are that come with the package: Mozilla's roots, their limits, registries."""

from collections.abc import Iterator
from datetime import date, timedelta
from importlib.metadata import version
from typing import Any, Final

from otpc_policy.app.doctor.result import Result, ok, warning
from otpc_policy.core.registries.states import registry_states
from otpc_policy.pki.roots import mozilla_roots, root_limits_document

# Mozilla changes its roots every month or two; half a year is several changes.
ROOTS_GROW_OLD: Final = timedelta(days=180)
# New suites and groups are registered a few times a year, and servers take years to use them.
REGISTRIES_GROW_OLD: Final = timedelta(days=365)
_UPDATE: Final = "update otpc-policy to its latest release"


def ages(today: date) -> Iterator[Result]:
    """Yield a result for each kind of data."""
    yield _roots(today, version("certifi"))
    yield _limits(today, root_limits_document())
    yield _registries(today)


def _roots(today: date, certifi: str) -> Result:
    """Judge the roots. certifi: its version, which is a date of Mozilla's list."""
    count = len(mozilla_roots())
    try:
        of_day = date(*map(int, certifi.split(".")[:3]))
    except (TypeError, ValueError):
        text = f"{count} roots; certifi {certifi} does not say of what day"
        return warning("mozilla roots", text, "install certifi from its own releases")
    text = f"{count} roots of {of_day} (certifi {certifi}), {_days(today - of_day)} old"
    if today - of_day > ROOTS_GROW_OLD:
        return warning("mozilla roots", text, f"{_UPDATE}, or update certifi")
    return ok("mozilla roots", text)


def _limits(today: date, document: Any) -> Result:
    of_day: date = document["as_of"]
    text = f"limits of {len(document['roots'])} roots as of {of_day}, {_days(today - of_day)} old"
    if today - of_day > ROOTS_GROW_OLD:
        return warning("limits of roots", text, _UPDATE)
    return ok("limits of roots", text)


def _registries(today: date) -> Result:
    states = registry_states()
    of_day = min(state.as_of for state in states if state.as_of is not None)
    others = ", ".join(f"{each.file} up to {each.up_to}" for each in states if each.as_of is None)
    text = f"IANA's TLS registries of {of_day}, {_days(today - of_day)} old; {others}"
    if today - of_day > REGISTRIES_GROW_OLD:
        return warning("iana registries", text, _UPDATE)
    return ok("iana registries", text)


def _days(age: timedelta) -> str:
    return f"{max(0, age.days)} days"
