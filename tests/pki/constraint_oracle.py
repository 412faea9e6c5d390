"""Name constraints by the words of RFC 5280 4.2.1.10, each name held against each subtree.

Written apart from the product, for the tests to compare with: sets of names and plain text, no
tables. A wildcard is the set of names that it covers, of which those matter whose first label
occurs in a subtree, and one whose first label occurs nowhere.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

_DNS, _MAIL, _URI = x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier
_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_NOWHERE = "a-label-that-occurs-nowhere"


def permits(constraints: x509.NameConstraints, certificate: x509.Certificate) -> bool:
    """Every name is within a permitted subtree, if its kind has any, and within no excluded one."""
    permitted, excluded = constraints.permitted_subtrees or [], constraints.excluded_subtrees or []
    return all(
        _permits(
            name,
            [subtree for subtree in permitted if type(subtree) is type(name)],
            [subtree for subtree in excluded if type(subtree) is type(name)],
        )
        for name in names_of(certificate)
    )


def names_of(certificate: x509.Certificate) -> Iterator[x509.GeneralName]:
    """Yield every name that constraints speak about."""
    subject = certificate.subject
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        yield from found.value
    except x509.ExtensionNotFound:
        if not _is_ca(certificate):
            for part in subject.get_attributes_for_oid(NameOID.COMMON_NAME):
                if str(part.value).isascii():
                    yield _DNS(str(part.value))
    if subject.rdns:
        yield x509.DirectoryName(subject)
    for part in subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
        yield _MAIL._init_without_validation(str(part.value))


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return found.value.ca


def _permits(
    name: x509.GeneralName,
    permitted: Sequence[x509.GeneralName],
    excluded: Sequence[x509.GeneralName],
) -> bool:
    if not permitted and not excluded:
        return True
    if not _is_comparable(name) or any(not _has_meaning(subtree) for subtree in excluded):
        return False
    covered = list(_covered(name, [*permitted, *excluded]))
    within = [[_lies_within(one, subtree) for subtree in permitted] for one in covered]
    return (not permitted or all(map(any, within))) and not any(
        _lies_within(one, subtree, is_excluded=True) for one in covered for subtree in excluded
    )


def _covered(
    name: x509.GeneralName, subtrees: Iterable[x509.GeneralName]
) -> Iterator[x509.GeneralName]:
    if not isinstance(name, _DNS) or not name.value.startswith("*."):
        yield name
        return
    labels = {_NOWHERE}
    for subtree in subtrees:
        if isinstance(subtree, _DNS):
            labels.update(label for label in subtree.value.split(".") if label)
    for label in sorted(labels):
        yield _DNS(label + name.value[1:])


def _is_comparable(name: x509.GeneralName) -> bool:
    match name:
        case _DNS():
            return name.value.isascii() and not name.value.endswith(".")
        case _MAIL():
            local, _, host = name.value.rpartition("@")
            return bool(local and _HOST.fullmatch(host)) and not set('"\\@') & set(local)
        case _URI():
            return _uri_host(name.value) is not None
        case x509.IPAddress():
            return isinstance(name.value, ipaddress.IPv4Address | ipaddress.IPv6Address)
        case x509.DirectoryName():
            return all(isinstance(part.value, str) for part in name.value)
    return False


def _has_meaning(subtree: x509.GeneralName) -> bool:
    match subtree:
        case _DNS():
            text = subtree.value.removesuffix(".") if len(subtree.value) > 1 else subtree.value
            text = text[1:] if text.startswith("*.") else text
            return not text or bool(_HOST.fullmatch(text.removeprefix(".")))
        case _MAIL() if "@" in subtree.value[1:]:
            return _is_comparable(subtree)
        case _MAIL():
            return bool(_HOST.fullmatch(subtree.value.lstrip(".@")))
        case _URI():
            return bool(_HOST.fullmatch(subtree.value.removeprefix(".")))
    return True


def _lies_within(
    name: x509.GeneralName, subtree: x509.GeneralName, *, is_excluded: bool = False
) -> bool:
    match name, subtree:
        case _DNS(), _DNS():
            base = subtree.value
            if is_excluded and base.startswith("*."):
                base = base[1:]
            base = base.removesuffix(".") if is_excluded and len(base) > 1 else base
            if base and not _HOST.fullmatch(base.removeprefix(".")):
                return False
            return _is_host_within(name.value, base, labels_may_precede=True)
        case _MAIL(), _MAIL():
            local, _, host = name.value.rpartition("@")
            base_local, at, base_host = subtree.value.rpartition("@")
            if at and base_local:
                return (local, host.lower()) == (base_local, base_host.lower())
            return bool(base_host) and _is_host_within(host, base_host, labels_may_precede=False)
        case _URI(), _URI():
            host = _uri_host(name.value) or ""
            return bool(subtree.value) and _is_host_within(
                host, subtree.value, labels_may_precede=False
            )
        case x509.IPAddress(), x509.IPAddress():
            network = subtree.value
            return isinstance(network, Iterable) and name.value in network
        case x509.DirectoryName(), x509.DirectoryName():
            outer = _folded(subtree.value)
            return _folded(name.value)[: len(outer)] == outer
    return True


def _is_host_within(host: str, base: str, *, labels_may_precede: bool) -> bool:
    """labels_may_precede: without a leading dot too, as for DNS names."""
    host, base = host.lower(), base.lower()
    if base.startswith("."):
        return host.endswith(base)
    return host == base or (labels_may_precede and (not base or host.endswith("." + base)))


def _uri_host(uri: str) -> str | None:
    found = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://([A-Za-z0-9_.-]*)(:[0-9]*)?(?=[/?#]|\Z)", uri)
    if found is None or not _HOST.fullmatch(found[1]) or re.fullmatch("[0-9.]*", found[1]):
        return None
    return found[1]


def _folded(name: x509.Name) -> list[list[tuple[str, str]]]:
    return [
        sorted(
            {(one.oid.dotted_string, " ".join(str(one.value).casefold().split())) for one in rdn}
        )
        for rdn in name.rdns
    ]
