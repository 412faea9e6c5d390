"""Name constraints along a path, for every kind of name that a certificate may have.

cryptography 46 checks those on DNS names and addresses, but takes a wildcard for permitted where only one of the names that it covers is,
and passes over constraints on the subject. So they are checked here as well. Source: RFC 5280 4.2.1.10, 6.1.3 (b) and (c).
"""

import ipaddress
from collections.abc import Iterable, Sequence

from cryptography import x509

from otpc_policy.pki.certificate import DecodedCertificate

# Comparing takes microseconds, and whoever makes certificates chooses how many names meet how many subtrees. Real ones stay below a few thousand.
_MAX_COMPARISONS = 65_536
_Rdns = tuple[frozenset[tuple[str, str]], ...]


def constraints_permit(path: Sequence[DecodedCertificate]) -> bool:
    """Every name on the path is permitted by every certificate above it.

    path: leaf first, the anchor last. Its constraints count too: whoever trusts it trusts it within them (RFC 5937 3.2).
    The common names of a leaf without subjectAltName count as DNS names, because they are used as such.
    """
    return all(
        is_permitted(authority.name_constraints, one)
        for position, authority in enumerate(path)
        if authority.name_constraints is not None
        for number, one in enumerate(path[:position])
        if number == 0 or not one.view.is_self_issued
    )


def is_permitted(constraints: x509.NameConstraints, one: DecodedCertificate) -> bool:
    """Every name of the certificate is permitted. More names than can be compared in decent time are not."""
    permitted, excluded = constraints.permitted_subtrees or [], constraints.excluded_subtrees or []
    if len(one.alternative_names) * (len(permitted) + len(excluded)) > _MAX_COMPARISONS:
        return False
    return all(
        (not (subtrees := _same_kind(permitted, name)) or any(_lies_within(name, subtree) for subtree in subtrees))
        and not any(_overlaps(name, subtree) for subtree in _same_kind(excluded, name))
        for name in _names(one)
    )


def _names(one: DecodedCertificate) -> Iterable[x509.GeneralName]:
    yield from one.alternative_names
    subject = one.subject
    if len(list(subject)) > 0:
        yield x509.DirectoryName(subject)
    if not one.has_subject_alt_name:
        yield from (x509.RFC822Name(str(attribute.value)) for attribute in subject.get_attributes_for_oid(x509.NameOID.EMAIL_ADDRESS) if _is_ascii(attribute))
        if not one.is_ca:
            yield from (x509.DNSName(name) for name in one.view.common_names if name.isascii())


def _is_ascii(attribute: x509.NameAttribute[str | bytes]) -> bool:
    return isinstance(attribute.value, str) and attribute.value.isascii()


def _same_kind(subtrees: Sequence[x509.GeneralName], name: x509.GeneralName) -> list[x509.GeneralName]:
    return [subtree for subtree in subtrees if type(subtree) is type(name)]


def _lies_within(name: x509.GeneralName, subtree: x509.GeneralName) -> bool:
    """The subtree holds all that the name speaks for. Kinds that are not understood lie within nothing."""
    match name, subtree:
        case x509.DNSName(), x509.DNSName():
            return _is_domain_within(name.value.removeprefix("*."), subtree.value)
        case x509.IPAddress(), x509.IPAddress():
            return _is_address_within(name, subtree)
        case x509.DirectoryName(), x509.DirectoryName():
            inner, outer = _rdns(name.value), _rdns(subtree.value)
            return inner[: len(outer)] == outer
        case _:
            return False


def _overlaps(name: x509.GeneralName, subtree: x509.GeneralName) -> bool:
    """The subtree holds something that the name speaks for. Kinds that are not understood overlap everything."""
    match name, subtree:
        case x509.DNSName(), x509.DNSName():
            covers_it = name.value.startswith("*.") and _is_domain_within(subtree.value, name.value[2:])
            return covers_it or _is_domain_within(name.value.removeprefix("*."), subtree.value)
        case (x509.IPAddress(), x509.IPAddress()) | (x509.DirectoryName(), x509.DirectoryName()):
            return _lies_within(name, subtree)
        case _:
            return True


def _is_domain_within(name: str, subtree: str) -> bool:
    """Zero or more labels added on the left. A leading dot is not for DNS names; many write it, and mean the same."""
    bare, base = name.lower().removeprefix("."), subtree.lower().removeprefix(".")
    return not base or bare == base or bare.endswith("." + base)


def _is_address_within(name: x509.IPAddress, subtree: x509.IPAddress) -> bool:
    address, network = name.value, subtree.value
    if not isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return False
    return isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address) and address in network


def _rdns(name: x509.Name) -> _Rdns:
    """Names are compared without regard to case and to runs of spaces. Source: RFC 5280 7.1."""
    return tuple(frozenset((one.oid.dotted_string, _folded(one.value)) for one in rdn) for rdn in name.rdns)


def _folded(value: str | bytes) -> str:
    return " ".join(value.casefold().split()) if isinstance(value, str) else value.hex()
