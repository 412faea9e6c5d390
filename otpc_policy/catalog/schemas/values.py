"""The types of single values that several kinds of documents share.

Each refuses with a sentence for the author of the document, without the value's place.
"""

import re
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator

from otpc_policy.endpoint import canonical_host

Item = TypeVar("Item")

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


def _sha256(text: str) -> str:
    digest = text.replace(":", "").strip().lower()
    if not _SHA256.match(digest):
        raise ValueError("must be a SHA-256 in hexadecimal: 64 digits, with or without colons")
    return digest


def _trusted_host(text: str) -> str:
    wildcard = text.startswith("*.")
    host = canonical_host(text.removeprefix("*."))
    return f"*.{host}" if wildcard else host


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _not_empty(hosts: tuple[str, ...]) -> tuple[str, ...]:
    # min_length would count the valid hosts only, and so call a list of one wrong host empty.
    if not hosts:
        raise ValueError("is empty: an anchor or pin must name the hosts it speaks for")
    return hosts


Sha256 = Annotated[str, AfterValidator(_sha256)]
# A list of one may be written without brackets.
OneOrMany = Annotated[tuple[Item, ...], BeforeValidator(_one_or_many)]
TrustedHosts = Annotated[
    OneOrMany[Annotated[str, AfterValidator(_trusted_host)]],
    AfterValidator(_not_empty),
]
