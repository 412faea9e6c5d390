"""Names of callers: valid for their kind or nobody's, and patterns that never cross kinds."""

import pytest

from otpc_policy.core.caller import Identity, IdentityKind
from otpc_policy.core.identities import (
    identity_of,
    read_identity,
    read_identity_pattern,
)

SPIFFE, URI, DNS = IdentityKind.SPIFFE, IdentityKind.URI, IdentityKind.DNS


@pytest.mark.parametrize(
    ("kind", "name", "is_valid"),
    [
        (SPIFFE, "spiffe://td/ns/a/sa/b", True),
        (SPIFFE, "spiffe://prod.example.org/router", True),
        (SPIFFE, "spiffe://td_1-2.x/A.b_c-d", True),
        (SPIFFE, "spiffe://td", False),
        (SPIFFE, "spiffe://td/", False),
        (SPIFFE, "spiffe://td/a/", False),
        (SPIFFE, "spiffe://td//a", False),
        (SPIFFE, "spiffe://td/../a", False),
        (SPIFFE, "spiffe://td/./a", False),
        (SPIFFE, "spiffe://td/a%2fb", False),
        (SPIFFE, "spiffe://td/a?b", False),
        (SPIFFE, "spiffe://td/a#b", False),
        (SPIFFE, "spiffe://td/*", False),
        (SPIFFE, "spiffe://TD/a", False),
        (SPIFFE, "SPIFFE://td/a", False),
        (SPIFFE, "spiffe://user@td/a", False),
        (SPIFFE, "spiffe://td:443/a", False),
        (SPIFFE, "spiffe:///a", False),
        (SPIFFE, "spiffe://td/a\n", False),
        (SPIFFE, "spiffe://td/" + "a" * 2036, True),
        (SPIFFE, "spiffe://td/" + "a" * 2037, False),
        (SPIFFE, "https://td/a", False),
        (URI, "https://example.com/router", True),
        (URI, "urn:example:router", True),
        (URI, "spiffe://td/a", False),
        (URI, "Spiffe://td/a", False),
        (URI, "ops.example", False),
        (URI, "https://a b", False),
        (URI, "https://a\x7f", False),
        (URI, "", False),
        (DNS, "router.example", True),
        (DNS, "router", True),
        (DNS, "my_service.internal", True),
        (DNS, "*.example", False),
        (DNS, "*", False),
        (DNS, "router.example.", False),
        (DNS, "ops@example.com", False),
        (DNS, "spiffe://td/a", False),
        (DNS, "192.0.2.1", False),
        (DNS, "a\x00.example", False),
        (DNS, "router.example\n", False),
        (DNS, "bücher.example", False),
        (DNS, "", False),
    ],
)
def test_a_name_in_a_certificate_is_valid_for_its_kind_or_identifies_nobody(
    kind: IdentityKind, name: str, is_valid: bool
) -> None:
    assert identity_of(kind, name) == (Identity(kind, name) if is_valid else None)


def test_dns_names_are_compared_without_case() -> None:
    assert identity_of(DNS, "Router.Example") == Identity(DNS, "router.example")
    assert read_identity_pattern("ROUTER.example").matches(Identity(DNS, "router.example"))


@pytest.mark.parametrize(
    ("written", "kind", "name", "matches"),
    [
        ("spiffe://td/a", SPIFFE, "spiffe://td/a", True),
        ("spiffe://td/a", SPIFFE, "spiffe://td/a/b", False),
        ("spiffe://td/a", SPIFFE, "spiffe://td/A", False),
        ("spiffe://td/a", DNS, "spiffe://td/a", False),
        ("spiffe://td/a", URI, "spiffe://td/a", False),
        ("spiffe://td/ns/*", SPIFFE, "spiffe://td/ns/a", True),
        ("spiffe://td/ns/*", SPIFFE, "spiffe://td/ns/a/sa/b", True),
        ("spiffe://td/ns/*", SPIFFE, "spiffe://td/ns", False),
        ("spiffe://td/ns/*", SPIFFE, "spiffe://td/nsx/a", False),
        ("spiffe://td/ns/*", SPIFFE, "spiffe://other/ns/a", False),
        ("spiffe://td/*", SPIFFE, "spiffe://td/a", True),
        ("spiffe://td/*", SPIFFE, "spiffe://td.evil/a", False),
        ("uri:https://x/y", URI, "https://x/y", True),
        ("https://x/y", URI, "https://x/y", True),
        ("https://x/y", URI, "https://x/y/z", False),
        ("uri:urn:router", URI, "urn:router", True),
        ("uri:urn:router", DNS, "urn:router", False),
        ("dns:router.example", DNS, "router.example", True),
        ("router.example", DNS, "router.example", True),
        ("router.example", DNS, "a.router.example", False),
        ("router.example", URI, "router.example", False),
        ("*.routers.example", DNS, "a.routers.example", True),
        ("*.routers.example", DNS, "a.b.routers.example", False),
        ("*.routers.example", DNS, "routers.example", False),
        ("*.routers.example", DNS, "evilrouters.example", False),
        ("*", DNS, "anything.example", True),
        ("*", SPIFFE, "spiffe://td/a", True),
    ],
)
def test_a_pattern_means_names_of_its_own_kind_alone(
    written: str, kind: IdentityKind, name: str, matches: bool
) -> None:
    assert read_identity_pattern(written).matches(Identity(kind, name)) is matches


@pytest.mark.parametrize(
    "written",
    [
        "",
        "spiffe://*",
        "spiffe://*/a",
        "spiffe://td/a*",
        "spiffe://td/*/b",
        "SPIFFE://td/a",
        "uri:spiffe://td/a",
        "uri:router.example",
        "dns:spiffe://td/a",
        "dns:*",
        "*.example",
        "a.*.example",
        "**.example.org",
        "ops@example.com",
        "10.0.0.1",
        "router.example:443",
    ],
)
def test_what_means_nobody_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"not a|must"):
        read_identity_pattern(written)


def test_a_caller_is_written_as_in_logs_and_is_no_pattern() -> None:
    for identity in (
        Identity(SPIFFE, "spiffe://td/a"),
        Identity(URI, "urn:router"),
        Identity(DNS, "router.example"),
    ):
        assert read_identity(str(identity)) == identity
    for pattern in ("*", "*.routers.example", "spiffe://td/*"):
        with pytest.raises(ValueError, match="is a pattern"):
            read_identity(pattern)
