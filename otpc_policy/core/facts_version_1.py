"""Saved facts of VERSION 1, brought to VERSION 2.

The only difference: VERSION 1 wrote a TLS version by its name ("TLS_1_2"), VERSION 2 writes its
number on the wire (771). Files of VERSION 1 are fixtures of users' policy tests, so they are read
for as long as facts are.
"""

from typing import Any

from otpc_policy.core.errors import MalformedFacts
from otpc_policy.core.facts import TlsVersion

# Fields of AddressFacts whose items have a field "version".
_VERSIONED = ("versions", "cipher_suites", "deployments", "key_exchanges")


def to_version_2(facts: object) -> None:
    """Change decoded facts of VERSION 1, of an endpoint or an address, to VERSION 2 in place.

    What does not have the shape of facts is left for the reader of VERSION 2 to refuse.
    Raises MalformedFacts for a TLS version that is not named as VERSION 1 named them.
    """
    addresses = _list_in(facts, "addresses")
    for index, address in enumerate(addresses):
        _change_address(address, f"facts.addresses[{index}]")
    if not addresses:
        _change_address(facts, "facts")


def _change_address(address: object, place: str) -> None:
    for field in _VERSIONED:
        for index, item in enumerate(_list_in(address, field)):
            if isinstance(item, dict) and "version" in item:
                item["version"] = _number(item["version"], f"{place}.{field}[{index}].version")


def _number(name: object, place: str) -> int:
    if not isinstance(name, str) or name not in TlsVersion.__members__:
        raise MalformedFacts(
            f"{place}: {name!r:.80} is not one of {', '.join(TlsVersion.__members__)}"
        )
    return TlsVersion[name].value


def _list_in(value: Any, field: str) -> list[Any]:
    items = value.get(field) if isinstance(value, dict) else None
    return items if isinstance(items, list) else []
