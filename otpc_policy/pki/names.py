"""Does the leaf speak for this name? RFC 9525 on subjectAltName; the common name only where there is no subjectAltName at all."""

import ipaddress
import re
from functools import lru_cache

from service_identity.exceptions import CertificateError
from service_identity.hazmat import DNS_ID, DNSPattern, IPAddress_ID, IPAddressPattern

from otpc_policy.core.endpoint import canonical_host, is_ip_literal
from otpc_policy.pki.certificate import DecodedCertificate
from otpc_policy.pki.judgement import NameMatch

# service-identity strips space around a pattern and accepts any bytes in it: such a pattern would match what other clients refuse.
_LEGAL_PATTERN = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\Z")


def match_name(leaf: DecodedCertificate, server_name: str) -> NameMatch:
    """Say how the leaf matches the name.

    server_name: DNS name or IP literal. IP literals match iPAddress entries only (RFC 9525 6.5).
    Source: RFC 9525 6; the common name because the OTPC document says "CN or wildcards" (RFC 2818 3.1: the most specific one).
    """
    try:
        name = canonical_host(server_name)
    except ValueError:
        return NameMatch.MISMATCH
    if leaf.has_subject_alt_name:
        matches = _matches_address(leaf, name) if is_ip_literal(name) else any(matches_dns_pattern(one, name) for one in leaf.dns_names)
        return NameMatch.SUBJECT_ALT_NAME if matches else NameMatch.MISMATCH
    if leaf.view.common_names and not is_ip_literal(name) and matches_dns_pattern(leaf.view.common_names[-1], name):
        return NameMatch.COMMON_NAME
    return NameMatch.MISMATCH


def matches_dns_pattern(pattern: str, name: str) -> bool:
    """Tell whether one dNSName of a certificate covers a name.

    pattern: as in the certificate. name: canonical, no IP literal. A pattern that is not valid covers nothing: service-identity
    would reject the whole certificate for it. A wildcard is the complete left-most label, and at least two labels follow.
    """
    # Most names of a content network's leaf are of others, and service-identity takes 20 microseconds to say so.
    if pattern.lower() not in (name, "*." + name.partition(".")[2]) or not _LEGAL_PATTERN.match(pattern):
        return False
    return _covers(pattern, name)


# A server with two certificates has the same names in both. What is kept is true of these two strings for ever, and no longer ones get here.
@lru_cache(maxsize=256)
def _covers(pattern: str, name: str) -> bool:
    try:
        parsed = DNSPattern.from_bytes(pattern.encode("ascii"))
    except CertificateError:
        return False
    if "*" not in pattern:
        return DNS_ID(name).verify(parsed)
    _, dot, parent = name.partition(".")
    # A complete wildcard label covers A-labels as well (RFC 9525 6.3), which service-identity refuses: any other label stands in.
    return bool(dot) and DNS_ID("label." + parent).verify(parsed)


def _matches_address(leaf: DecodedCertificate, literal: str) -> bool:
    wanted = IPAddress_ID(ipaddress.ip_address(literal))
    return any(wanted.verify(IPAddressPattern(one)) for one in leaf.ip_addresses)
