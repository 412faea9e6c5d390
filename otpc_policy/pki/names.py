"""Does the leaf speak for this name? RFC 9525; the common name only without any subjectAltName."""

import ipaddress
import re
from functools import lru_cache

from service_identity.exceptions import CertificateError
from service_identity.hazmat import DNS_ID, DNSPattern, IPAddress_ID, IPAddressPattern

from otpc_policy.core.endpoint import canonical_host, is_ip_literal
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.judgement import NameMatch

# service-identity strips space around a pattern and accepts any bytes in it: such a pattern would
# match what other clients refuse.
_LEGAL_PATTERN = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\Z")


def match_name(leaf: DecodedCertificate, server_name: str) -> NameMatch:
    """Say how the leaf matches the name.

    server_name: DNS name or IP literal. IP literals match iPAddress entries only (RFC 9525 6.5).
    Source: RFC 9525 6; the common name because the OTPC document says "CN or wildcards" (RFC 2818
    3.1: the most specific one).
    """
    try:
        name = canonical_host(server_name)
    except ValueError:
        return NameMatch.MISMATCH
    if leaf.has_unread_names:
        return NameMatch.UNDECIDED
    if leaf.has_subject_alt_name:
        matches = (
            _matches_address(leaf, name) if is_ip_literal(name) else _matches_dns_name(leaf, name)
        )
        return NameMatch.SUBJECT_ALT_NAME if matches else NameMatch.MISMATCH
    last_common_name = leaf.common_names[-1:]
    if not is_ip_literal(name) and any(
        matches_dns_pattern(pattern, name) for pattern in last_common_name
    ):
        return NameMatch.COMMON_NAME
    return NameMatch.MISMATCH


def _matches_dns_name(leaf: DecodedCertificate, name: str) -> bool:
    # A leaf may have thousands of names, most of them of others: those cost a look at a set each.
    candidates = _patterns_that_cover(name)
    found = (pattern for pattern in leaf.dns_names if pattern.lower() in candidates)
    return any(matches_dns_pattern(pattern, name) for pattern in found)


def matches_dns_pattern(pattern: str, name: str) -> bool:
    """Tell whether one dNSName of a certificate covers a name.

    pattern: as in the certificate. name: canonical, no IP literal. A pattern that is not valid
    covers nothing: service-identity would reject the whole certificate for it. A wildcard is the
    complete left-most label, and must be followed by at least two labels.
    """
    if pattern.lower() not in _patterns_that_cover(name) or not _LEGAL_PATTERN.match(pattern):
        return False
    return _covers(pattern, name)


def _patterns_that_cover(name: str) -> frozenset[str]:
    return frozenset({name, "*." + name.partition(".")[2]})


# A server with two certificates has the same names in both. What is kept is true of these two
# strings for ever, and no longer ones get here.
@lru_cache(maxsize=256)
def _covers(pattern: str, name: str) -> bool:
    try:
        parsed = DNSPattern.from_bytes(pattern.encode("ascii"))
    except CertificateError:
        return False
    if "*" not in pattern:
        return DNS_ID(name).verify(parsed)
    _, dot, parent = name.partition(".")
    # A complete wildcard label covers A-labels as well (RFC 9525 6.3), which service-identity
    # refuses: any other label stands in.
    return bool(dot) and DNS_ID("label." + parent).verify(parsed)


def _matches_address(leaf: DecodedCertificate, literal: str) -> bool:
    address = ipaddress.ip_address(literal)
    found = (known for known in leaf.ip_addresses if known == address)
    return any(IPAddress_ID(address).verify(IPAddressPattern(known)) for known in found)
