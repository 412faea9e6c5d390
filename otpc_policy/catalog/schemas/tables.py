"""What every table of every document has in common, and the types of single values.

Each type refuses with a sentence for the author of the document, without the value's place (see
otpc_policy.catalog.problems).
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from otpc_policy.catalog.problems import INSTANT
from otpc_policy.core.endpoint import canonical_host, is_ip_literal
from otpc_policy.core.facts import ClientAuth
from otpc_policy.pki.anchors import problem_with_anchor
from otpc_policy.pki.fingerprints import read_sha256
from otpc_policy.pki.pem import read_pem_bundle

Item = TypeVar("Item")
# It appears in responses and logs.
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")

# Nobody plans further ahead, and arithmetic with instants near the end of the calendar overflows.
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class Table(BaseModel):
    """A table of a document: nothing is converted, and no unknown key is ignored."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def _identifier(text: str) -> str:
    if not _IDENTIFIER.match(text):
        raise ValueError(
            "must be at most 63 lower-case letters, digits, '.', '_' and '-', "
            f"beginning with a letter or digit; it is {text!r}"
        )
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def read_instant(value: object) -> datetime:
    """Return a date and time with a zone. Raises ValueError."""
    match value:
        case datetime() if value.tzinfo is None:
            raise ValueError(f"{INSTANT}; {value.isoformat()} has no zone")
        case datetime() if _EARLIEST <= value < _LATEST:
            return value
        case datetime():
            raise ValueError(f"must be between 1970 and 9000; it is {value.isoformat()}")
        case date():
            raise ValueError(f"{INSTANT}; {value.isoformat()} has no time")
        case time():
            raise ValueError(f"{INSTANT}; {value.isoformat()} has no date")
        case str():
            raise ValueError(f"{INSTANT}, without quotes")
        case _:
            raise ValueError(INSTANT)


def _server_name(text: str) -> str:
    try:
        name = canonical_host(text)
    except ValueError as error:
        raise ValueError(f"{text!r} {error}") from None
    if is_ip_literal(name):
        raise ValueError(
            f"{text!r} is an IP address; a server name is a DNS name (RFC 6066 section 3)"
        )
    return name


def ca_certificates(value: object) -> tuple[bytes, ...]:
    """Return the CA certificates of a PEM text in DER. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError("must be text: certificates in PEM")
    anchors = read_pem_bundle(value)
    for number, anchor in enumerate(anchors, 1):
        if problem := problem_with_anchor(anchor):
            raise ValueError(f"certificate {number}: {problem}")
    return anchors


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def one_of(words: Mapping[str, Any]) -> PlainValidator:
    """Return the validator of a field that takes one of these words and means their values."""

    def read(value: object) -> Any:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return words[value]

    return PlainValidator(read)


# TOML knows lists only; a strict tuple would refuse them.
Many = Annotated[tuple[Item, ...], Field(strict=False)]
# A list of one may be written without brackets.
OneOrMany = Annotated[tuple[Item, ...], BeforeValidator(_one_or_many)]
Text = Annotated[str, AfterValidator(_not_blank)]
Identifier = Annotated[str, AfterValidator(_identifier)]
Sha256 = Annotated[str, AfterValidator(read_sha256)]
Instant = Annotated[datetime, PlainValidator(read_instant)]
ServerName = Annotated[str, AfterValidator(_server_name)]
AgreedClientAuth = Annotated[
    ClientAuth, one_of({"required": ClientAuth.REQUIRED, "none": ClientAuth.NONE})
]
