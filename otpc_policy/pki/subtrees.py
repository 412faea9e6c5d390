"""Names against subtrees of name constraints, for every kind of name that a certificate may have.

Names times subtrees is what a hostile chain makes large, so nothing here compares each with each.
The subtrees of an authority are put in tables once, by kind, and a name is looked up in them: a DNS
name by each of its suffixes, an address by each length of prefix that occurs, a directory name by
walking down a tree of relative names. What that costs is known before; who pays is not this
module's business.

Kinds that are not understood (mail addresses and URIs among them) lie within nothing and are
overlapped by all: they are refused wherever a subtree of their kind stands. A wildcard speaks for
every name that it covers. Source: RFC 5280 4.2.1.10, 7.1.
"""

import ipaddress
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from otpc_policy.pki.certificate import DecodedCertificate

# A relative name: its attributes by OID, folded.
_Rdn = frozenset[tuple[str, str]]
_DOTTED_KINDS = (x509.DNSName, x509.RFC822Name)
_UNDERSTOOD_KINDS = frozenset({x509.DNSName, x509.IPAddress, x509.DirectoryName})

# Prices in nanoseconds. A label is a suffix to look up; a length of prefix, a network.
_NS_PER_DOMAIN, _NS_PER_LABEL, _NS_PER_WILDCARD, _NS_TO_SORT = 200, 250, 600, 400
_NS_PER_ADDRESS, _NS_PER_PREFIX_LENGTH, _NS_PER_RDN = 600, 250, 250


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Names:
    """The names of a certificate by kind, folded for comparing.

    domains: DNS names in lower case, without "*.". wildcards: those of them that had it. labels: of
    these and of mail addresses. addresses: or networks, which have no place in a certificate's
    names. others: the kinds of names that are not understood.
    """

    domains: tuple[str, ...]
    wildcards: tuple[str, ...]
    labels: int
    addresses: tuple[object, ...]
    directories: tuple[tuple[_Rdn, ...], ...]
    others: frozenset[type[x509.GeneralName]]

    @classmethod
    def of(cls, certificate: DecodedCertificate) -> "Names":
        kinds: dict[type[x509.GeneralName], list[Any]] = defaultdict(list)
        for name in certificate.alternative_names:
            kinds[type(name)].append(name.value)
        if certificate.subject.rdns:
            kinds[x509.DirectoryName].append(certificate.subject)
        if not certificate.has_subject_alt_name:
            # What a mail address says is not understood, so that there is one is all that counts.
            mail = certificate.subject.get_attributes_for_oid(x509.NameOID.EMAIL_ADDRESS)
            kinds[x509.RFC822Name] = [name.value for name in mail if _is_ascii(name.value)]
            if not certificate.is_ca:
                kinds[x509.DNSName] = [
                    name for name in certificate.view.common_names if name.isascii()
                ]
        dns = kinds[x509.DNSName]
        domains = tuple(_domain(name.removeprefix("*.")) for name in dns)
        return cls(
            domains=domains,
            wildcards=tuple(_domain(name[2:]) for name in dns if name.startswith("*.")),
            labels=sum(
                1 + text.count(".") for kind in _DOTTED_KINDS for text in kinds.get(kind, ())
            ),
            addresses=tuple(kinds[x509.IPAddress]),
            directories=tuple(_rdns(name) for name in kinds[x509.DirectoryName]),
            others=frozenset(
                kind for kind, names in kinds.items() if names and kind not in _UNDERSTOOD_KINDS
            ),
        )


@dataclass(slots=True, kw_only=True, eq=False)
class _Subtrees:
    """Permitted or excluded subtrees, in tables.

    kinds: those that occur. domains: in lower case, without a leading dot. networks: the first bits
    of networks, by IP version and how many bits follow. directories: a tree of relative names, in
    which _END marks where a subtree is whole.
    """

    kinds: frozenset[type[x509.GeneralName]]
    domains: frozenset[str]
    networks: Mapping[tuple[int, int], set[int]]
    directories: "_Tree"
    _reversed_domains: list[str] | None = None

    @classmethod
    def of(cls, subtrees: Sequence[x509.GeneralName]) -> "_Subtrees":
        domains: set[str] = set()
        networks: dict[tuple[int, int], set[int]] = defaultdict(set)
        directories: _Tree = {}
        for subtree in subtrees:
            match subtree:
                case x509.DNSName():
                    domains.add(_domain(subtree.value))
                case x509.IPAddress(
                    value=ipaddress.IPv4Network() | ipaddress.IPv6Network() as network
                ):
                    bits = network.max_prefixlen - network.prefixlen
                    networks[network.version, bits].add(int(network.network_address) >> bits)
                case x509.DirectoryName():
                    tree = directories
                    for rdn in _rdns(subtree.value):
                        tree = tree.setdefault(rdn, {})
                    tree[_END] = {}
        return cls(
            kinds=frozenset(map(type, subtrees)),
            domains=frozenset(domains),
            networks=networks,
            directories=directories,
        )

    def hold_domain(self, domain: str) -> bool:
        """The domain has one of ours at its end: zero or more labels were added on the left."""
        if domain in self.domains or "" in self.domains:
            return True
        at = domain.find(".")
        while at >= 0:
            if domain[at + 1 :] in self.domains:
                return True
            at = domain.find(".", at + 1)
        return False

    def reach_below(self, domain: str) -> bool:
        """One of ours is the domain or lies below it."""
        if not domain:
            return bool(self.domains)
        if self._reversed_domains is None:
            self._reversed_domains = sorted(known[::-1] for known in self.domains)
        # What ends in ".domain" begins with its reverse, and so stands together in the sorted list.
        start = domain[::-1] + "."
        at = bisect_left(self._reversed_domains, start)
        following = self._reversed_domains[at : at + 1]
        return domain in self.domains or any(other.startswith(start) for other in following)

    def hold_address(self, address: object) -> bool:
        """The address lies in one of our networks. What is no address lies nowhere."""
        if not isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address):
            return False
        number = int(address)
        return any(
            version == address.version and number >> bits in networks
            for (version, bits), networks in self.networks.items()
        )

    def hold_directory(self, name: Sequence[_Rdn]) -> bool:
        """The name begins with one of ours."""
        tree = self.directories
        for rdn in name:
            if _END in tree or rdn not in tree:
                break
            tree = tree[rdn]
        return _END in tree


_Tree = dict[_Rdn, "_Tree"]
# No relative name is empty.
_END: _Rdn = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fence:
    """The constraints of one authority. count: of subtrees. encoded_bytes: their size, about."""

    permitted: _Subtrees
    excluded: _Subtrees
    count: int
    encoded_bytes: int

    @classmethod
    def of(cls, constraints: x509.NameConstraints) -> "Fence":
        permitted = constraints.permitted_subtrees or ()
        excluded = constraints.excluded_subtrees or ()
        return cls(
            permitted=_Subtrees.of(permitted),
            excluded=_Subtrees.of(excluded),
            count=len(permitted) + len(excluded),
            encoded_bytes=sum(map(_encoded_bytes, (*permitted, *excluded))),
        )

    def permits(self, names: Names) -> bool:
        """Every name lies in a permitted subtree, if its kind has any, and in no excluded one."""
        return (
            names.others.isdisjoint(self.permitted.kinds | self.excluded.kinds)
            and self._permits_domains(names)
            and self._permits_all(x509.IPAddress, names.addresses, _Subtrees.hold_address)
            and self._permits_all(x509.DirectoryName, names.directories, _Subtrees.hold_directory)
        )

    def nanoseconds_for(self, names: Names) -> int:
        """Return what permits costs for these names."""
        return _nanoseconds_for(names, self.permitted) + _nanoseconds_for(names, self.excluded)

    def _permits_domains(self, names: Names) -> bool:
        if not self._permits_all(x509.DNSName, names.domains, _Subtrees.hold_domain):
            return False
        # A wildcard is excluded by what it covers, too.
        return not any(map(self.excluded.reach_below, names.wildcards))

    def _permits_all(
        self,
        kind: type[x509.GeneralName],
        names: Sequence[Any],
        hold: Callable[[_Subtrees, Any], bool],
    ) -> bool:
        is_limited, is_excluding = kind in self.permitted.kinds, kind in self.excluded.kinds
        return all(
            (not is_limited or hold(self.permitted, name))
            and not (is_excluding and hold(self.excluded, name))
            for name in names
        )


def _nanoseconds_for(names: Names, subtrees: _Subtrees) -> int:
    ns = 0
    if x509.DNSName in subtrees.kinds:
        ns += _NS_PER_DOMAIN * len(names.domains) + _NS_PER_LABEL * names.labels
        ns += _NS_PER_WILDCARD * len(names.wildcards)
        ns += _NS_TO_SORT * len(subtrees.domains) if names.wildcards else 0
    if x509.IPAddress in subtrees.kinds:
        of_an_address = _NS_PER_ADDRESS + _NS_PER_PREFIX_LENGTH * len(subtrees.networks)
        ns += of_an_address * len(names.addresses)
    if x509.DirectoryName in subtrees.kinds:
        ns += _NS_PER_RDN * sum(len(name) + 1 for name in names.directories)
    return ns


def _encoded_bytes(name: x509.GeneralName) -> int:
    """About how many bytes the name takes in DER, rounded up."""
    match name:
        case x509.DNSName() | x509.RFC822Name() | x509.UniformResourceIdentifier():
            return 8 + len(name.value)
        case x509.DirectoryName():
            return 12 + len(name.value.public_bytes())
        case x509.OtherName():
            return 32 + len(name.value)
        case _:
            return 40


def _is_ascii(value: str | bytes) -> bool:
    return isinstance(value, str) and value.isascii()


def _domain(text: str) -> str:
    """A leading dot is not for DNS names; many write it, and mean the same."""
    return text.lower().removeprefix(".")


def _rdns(name: x509.Name) -> tuple[_Rdn, ...]:
    """Names are compared without regard to case and to runs of spaces. Source: RFC 5280 7.1."""
    return tuple(
        frozenset((attribute.oid.dotted_string, _folded(attribute.value)) for attribute in rdn)
        for rdn in name.rdns
    )


def _folded(value: str | bytes) -> str:
    return " ".join(value.casefold().split()) if isinstance(value, str) else value.hex()
