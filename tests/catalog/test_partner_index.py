"""A partner is found by host and port; what two patterns mean is refused with both places."""

import pytest

from otpc_policy.core.errors import ConfigurationError
from tests.catalog.writing import entry, index


@pytest.mark.parametrize(
    ("host", "port", "partner"),
    [
        ("api.bank.example", 443, "bank"),
        ("api.bank.example", 8443, None),
        ("bank.example", 443, None),
        ("otp.bank.example", 8443, None),
        ("one.otp.bank.example", 8443, "bank"),
        ("two.one.otp.bank.example", 8443, None),
        ("one.otp.bank.example", 443, "wide"),
        ("192.0.2.7", 443, "address"),
        ("2001:db8::7", 443, "address"),
        ("xn--bcher-kva.example", 443, "books"),
        ("example", 443, None),
        ("", 443, None),
    ],
)
def test_a_partner_is_found_by_host_and_port(host: str, port: int, partner: str | None) -> None:
    partners = index(
        entry("bank", "api.bank.example", "*.otp.bank.example:8443"),
        entry("wide", "*.otp.bank.example"),
        entry("address", "192.0.2.7", "[2001:db8::7]"),
        entry("books", "bücher.example"),
    )
    found = partners.find(host, port)
    assert (found.id if found else None) == partner


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (
            (entry("a", "api.bank.example"), entry("b", "other.example", "API.bank.example:443")),
            "1.toml:3: api.bank.example:443 overlaps api.bank.example:443 at 0.toml:3",
        ),
        (
            (entry("a", "*.bank.example"), entry("b", "*.bank.example")),
            "1.toml:3: *.bank.example:443 overlaps *.bank.example:443 at 0.toml:3",
        ),
        (
            (entry("a", "*.bank.example"), entry("b", "api.bank.example")),
            "1.toml:3: api.bank.example:443 overlaps *.bank.example:443 at 0.toml:3",
        ),
        (
            (entry("a", "api.bank.example"), entry("b", "*.bank.example")),
            "0.toml:3: api.bank.example:443 overlaps *.bank.example:443 at 1.toml:3",
        ),
        (
            (entry("a", "a.example", "a.example"),),
            "0.toml:3: a.example:443 overlaps a.example:443 at 0.toml:3",
        ),
        (
            (entry("a", "a.example"), entry("a", "b.example")),
            "1.toml:1: id: 'a' is also the id of the entry at 0.toml:1",
        ),
    ],
)
def test_overlaps_are_refused_with_both_places(texts: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        index(*texts)
    assert len(raised.value.problems) == 1
    assert raised.value.problems[0].startswith(problem)


def test_patterns_that_meet_nowhere_do_not_overlap() -> None:
    partners = index(
        entry("a", "*.bank.example", "bank.example"),
        entry("b", "*.bank.example:8443", "x.y.bank.example"),
        entry("c", "*.y.bank.example:1"),
    )
    assert len(partners) == 3


@pytest.mark.parametrize(
    ("name", "partner"),
    [
        ("api.bank.example", "default port"),
        ("only.bank.example", "other port"),
        ("one.wild.example", "wild"),
        ("edge.bank.example", "edge"),
        ("shared.bank.example", None),
        ("ports.bank.example", None),
        ("nobody.example", None),
    ],
)
def test_a_name_alone_leads_to_a_partner_only_if_it_cannot_mean_another(
    name: str, partner: str | None
) -> None:
    ids = {"default port": "a", "other port": "b", "wild": "c", "edge": "d"}
    partners = index(
        entry("a", "api.bank.example"),
        entry(
            "b",
            "api.bank.example:8443",
            "only.bank.example:8443",
            "ports.bank.example:1",
            rest='server_names = ["shared.bank.example"]',
        ),
        entry("c", "*.wild.example:8443", "ports.bank.example:2"),
        entry("d", "192.0.2.1", rest='server_names = ["edge.bank.example", "shared.bank.example"]'),
    )
    found = partners.find_by_name(name)
    assert (found.id if found else None) == (ids[partner] if partner else None)
