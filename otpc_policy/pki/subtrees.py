"""Names against subtrees of name constraints, for every kind of name that a certificate may have.

Names times subtrees is what a hostile chain makes large, so nothing here compares each with each.
The subtrees of an authority are put in tables once, by kind, and a name is looked up in them: a DNS
name by each of its suffixes, an address by each mask that occurs, a directory name by walking down
a tree of relative names. What that costs is known before; who pays is not this module's business.

How subtrees are read. Source: RFC 5280 4.2.1.10, as OpenSSL 3 and Go read it; where those two
differ, the reading that permits less.

* DNS: "a.b" holds a.b and all below; ".a.b" all below but not a.b, in permitted subtrees and in
  excluded ones; "" everything. A wildcard is permitted if all that it covers is, and excluded if
  anything that it covers is: it covers one label (RFC 9525 6.3), so "*.a.b" meets an excluded
  "c.a.b" and not "d.c.a.b". OpenSSL compares wildcards as text. Names that are no host names (with
  an underscore, for one) are compared as text.
* Mail: "u@a.b" is one mailbox, "a.b" all mailboxes of that host, ".a.b" those of all hosts below.
* URI: "a.b" is that host, ".a.b" all hosts below.
* Addresses: octets under a mask, be it a prefix or not.
* Directory: the relative names at the start, compared as RFC 5280 7.1 says. Excluded, they hold
  names too that are equal only when prepared as RFC 4518 says, and names too long for that.
* Other kinds (otherName by its type, x400Address, ediPartyName, registeredID) are not compared:
  names of them are refused wherever a subtree of their kind stands.

Hosts of more than 253 octets are none, and count as names that cannot be read.

What cannot be read, or has no meaning, permits nothing; excluded, it refuses all names of its kind.
An empty subtree of mail addresses or URIs, to which RFC 5280 gives no meaning, permits nothing and
excludes everything.
"""

import ipaddress
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.distinguished_name import EMAIL_ADDRESS, RelativeName, prepared
from otpc_policy.pki.extensions import NameConstraints, kinds_of
from otpc_policy.pki.general_names import (
    ADDRESS,
    DIRECTORY,
    DNS,
    MAIL,
    OTHER,
    URI,
    GeneralNames,
    Kind,
)

# A mailbox outside ASCII (RFC 9598), to which constraints on mail addresses speak too.
_SMTP_UTF8_MAILBOX: Kind = (OTHER, "1.3.6.1.5.5.7.8.9")
_OCTETS_OF_ADDRESSES = (4, 16)
# RFC 1035 2.3.4 allows 255 octets on the wire, which are 253 in text. Looking up every suffix of a
# name takes time in proportion to the square of its length.
_MAX_HOST_LENGTH = 253
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\Z")
_NUMERIC = re.compile(r"[0-9.]+\Z")
_AUTHORITY = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#]*)")

# Prices in nanoseconds. A label is a suffix to look up.
_NS_PER_DOMAIN, _NS_PER_LABEL, _NS_PER_WILDCARD, _NS_PER_PARENT = 200, 300, 600, 300
_NS_PER_ADDRESS, _NS_PER_MASK, _NS_PER_RDN, _NS_PER_MAILBOX = 600, 250, 250, 1_200
# To prepare a value that is not ASCII; one of nothing but accents takes longest.
_NS_PER_PREPARED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Names:
    """The names of a certificate by kind, folded for comparing.

    domains: DNS names in lower case. wildcards: what follows "*." in those that begin with it.
    labels: of all that has dots. mailboxes: local part and host. hosts: of URIs. addresses: octets.
    to_prepare: how many values in directories are not ASCII. others: the kinds of names that are
    not compared. unread: kinds of which a name cannot be read,
    or has no part that could be compared. has_unknown: nothing is known of some names, not even
    their kind.
    """

    domains: tuple[str, ...]
    wildcards: tuple[str, ...]
    labels: int
    mailboxes: tuple[tuple[str, str], ...]
    hosts: tuple[str, ...]
    addresses: tuple[bytes, ...]
    directories: tuple[tuple[RelativeName, ...], ...]
    to_prepare: int
    others: frozenset[Kind]
    unread: frozenset[Kind]
    has_unknown: bool

    @classmethod
    def of(cls, certificate: DecodedCertificate) -> "Names":
        """Gather the names of a certificate, those in its subject included.

        Mail addresses in the subject count always, as for OpenSSL. The common names of a leaf
        without subjectAltName count as DNS names, because they are used as such.
        """
        names, subject = certificate.names, certificate.subject
        dns: Sequence[str] = names.dns
        if not certificate.has_subject_alt_name and not certificate.is_ca:
            dns = [name for name in certificate.common_names if name.isascii()]
        unread = set(names.unread)
        mailboxes, hosts = [], []
        for mail in (*names.mails, *subject.values_of(EMAIL_ADDRESS)):
            mailbox = _mailbox(mail)
            if mailbox is None:
                unread.add(MAIL)
            else:
                mailboxes.append(mailbox)
        for uri in names.uris:
            host = _host_of_uri(uri)
            if host is None:
                unread.add(URI)
            else:
                hosts.append(host)
        if any(len(octets) not in _OCTETS_OF_ADDRESSES for octets in names.addresses):
            unread.add(ADDRESS)
        domains = tuple(name.lower() for name in dns if len(name) <= _MAX_HOST_LENGTH)
        if len(domains) < len(dns) or any(name.endswith(".") for name in domains):
            unread.add(DNS)
        if any(name.has_unread_value for name in (subject, *names.directories)):
            unread.add(DIRECTORY)
        directories = (
            *([] if subject.is_empty else [subject.relative_names]),
            *(name.relative_names for name in names.directories),
        )
        dotted = (domains, hosts, [host for _, host in mailboxes])
        return cls(
            domains=domains,
            wildcards=tuple(name[2:] for name in domains if name.startswith("*.")),
            labels=sum(1 + text.count(".") for texts in dotted for text in texts),
            mailboxes=tuple(mailboxes),
            hosts=tuple(hosts),
            addresses=names.addresses,
            directories=directories,
            to_prepare=sum(
                not value.isascii()
                for name in directories
                for relative in name
                for _, value, _ in relative
            ),
            others=names.others,
            unread=frozenset(unread),
            has_unknown=certificate.has_unread_names,
        )


_Tree = dict[RelativeName, "_Tree"]
# No relative name is empty.
_END: RelativeName = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Subtrees:
    """Permitted or excluded subtrees, in tables.

    kinds: those that occur. unclear: those of which a subtree has no meaning. domains, below:
    without a leading dot; below holds those that had one. parents: what follows the first label of
    domains. mail_hosts, mail_below, uri_hosts, uri_below: the same. masked: octets under each mask,
    by their number and the mask. directories: a tree of relative names, prepared in excluded ones,
    in which _END marks where a subtree is whole.
    """

    is_excluded: bool
    kinds: frozenset[Kind]
    unclear: frozenset[Kind]
    domains: frozenset[str]
    below: frozenset[str]
    parents: frozenset[str]
    mailboxes: frozenset[tuple[str, str]]
    mail_hosts: frozenset[str]
    mail_below: frozenset[str]
    uri_hosts: frozenset[str]
    uri_below: frozenset[str]
    masked: Mapping[tuple[int, int], set[int]]
    directories: _Tree

    @classmethod
    def of(cls, subtrees: GeneralNames, *, is_excluded: bool) -> "_Subtrees":
        unclear: set[Kind] = set(subtrees.unread)
        domains, below = _domains(subtrees.dns, unclear, is_excluded=is_excluded)
        # "@a.b" has no local part, and so is the host.
        mails = [text.removeprefix("@") for text in subtrees.mails]
        mail_hosts, mail_below = _hosts([text for text in mails if "@" not in text], MAIL, unclear)
        mailboxes = {_mailbox(text) for text in mails if "@" in text}
        if None in mailboxes:
            unclear.add(MAIL)
        uri_hosts, uri_below = _hosts(subtrees.uris, URI, unclear)
        masked: dict[tuple[int, int], set[int]] = defaultdict(set)
        for octets in subtrees.addresses:
            half = len(octets) // 2
            if len(octets) % 2 or half not in _OCTETS_OF_ADDRESSES:
                unclear.add(ADDRESS)
                continue
            mask = int.from_bytes(octets[half:], "big")
            masked[half, mask].add(int.from_bytes(octets[:half], "big") & mask)
        directories: list[Sequence[RelativeName]] = []
        for name in subtrees.directories:
            forms = [prepared(rdn) if is_excluded else rdn for rdn in name.relative_names]
            directories.append([form for form in forms if form is not None])
            if None in forms:
                unclear.add(DIRECTORY)
        if any(name.has_unread_value for name in subtrees.directories):
            unclear.add(DIRECTORY)
        return cls(
            is_excluded=is_excluded,
            kinds=kinds_of(subtrees),
            unclear=frozenset(unclear),
            domains=frozenset(domains),
            below=frozenset(below),
            parents=frozenset(domain.partition(".")[2] for domain in domains),
            mailboxes=frozenset(filter(None, mailboxes)),
            mail_hosts=frozenset(mail_hosts),
            mail_below=frozenset(mail_below),
            uri_hosts=frozenset(uri_hosts),
            uri_below=frozenset(uri_below),
            masked=masked,
            directories=_tree(directories),
        )

    def hold_domain(self, domain: str) -> bool:
        """The domain is one of ours or lies below one."""
        if domain in self.domains or "" in self.domains:
            return True
        return _is_below(domain, self.domains) or _is_below(domain, self.below)

    def meet_wildcard(self, domain: str) -> bool:
        """One of our domains is a name that "*." and this domain covers, or holds it."""
        return domain in self.parents

    def hold_mailbox(self, mailbox: tuple[str, str]) -> bool:
        """The mailbox is one of ours, or of one of our hosts."""
        host = mailbox[1]
        is_named = mailbox in self.mailboxes or host in self.mail_hosts
        return is_named or _is_below(host, self.mail_below)

    def hold_host(self, host: str) -> bool:
        """The host of a URI is one of ours."""
        return host in self.uri_hosts or _is_below(host, self.uri_below)

    def hold_address(self, octets: bytes) -> bool:
        """The address lies in one of our networks."""
        number = int.from_bytes(octets, "big")
        return any(
            size == len(octets) and number & mask in networks
            for (size, mask), networks in self.masked.items()
        )

    def hold_directory(self, name: Sequence[RelativeName]) -> bool:
        """The name begins with one of ours."""
        tree = self.directories
        for rdn in name:
            if _END in tree:
                break
            form = prepared(rdn) if self.is_excluded else rdn
            if form is None:
                return bool(tree)
            if form not in tree:
                break
            tree = tree[form]
        return _END in tree


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fence:
    """The constraints of one authority. count: of subtrees."""

    permitted: _Subtrees
    excluded: _Subtrees
    count: int

    @classmethod
    def of(cls, constraints: NameConstraints) -> "Fence":
        permitted, excluded = constraints.permitted, constraints.excluded
        return cls(
            permitted=_Subtrees.of(permitted, is_excluded=False),
            excluded=_Subtrees.of(excluded, is_excluded=True),
            count=permitted.count + excluded.count,
        )

    def permits(self, names: Names) -> bool:
        """Every name lies in a permitted subtree, if its kind has any, and in no excluded one."""
        return not self.refused(names)

    def refused(self, names: Names) -> str:
        """Return a name that is not permitted, for people, or ""."""
        if names.has_unknown:
            return "a subjectAltName that cannot be read"
        if not self._permits_other_kinds(names):
            return "a name of a kind that is constrained and cannot be compared"
        return (
            self._refused(DNS, names.domains, _Subtrees.hold_domain, _dns_text)
            or self._refused_wildcard(names.wildcards)
            or self._refused(MAIL, names.mailboxes, _Subtrees.hold_mailbox, _mailbox_text)
            or self._refused(URI, names.hosts, _Subtrees.hold_host, _uri_text)
            or self._refused(ADDRESS, names.addresses, _Subtrees.hold_address, _address_text)
            or self._refused(DIRECTORY, names.directories, _Subtrees.hold_directory, _name_text)
        )

    def nanoseconds_for(self, names: Names) -> int:
        """Return what permits costs for these names."""
        return _nanoseconds_for(names, self.permitted) + _nanoseconds_for(names, self.excluded)

    def _permits_other_kinds(self, names: Names) -> bool:
        """No name that is not compared is of a kind that is constrained."""
        kinds = self.permitted.kinds | self.excluded.kinds
        wanting = names.others | names.unread
        if not wanting.isdisjoint(kinds):
            return False
        if MAIL in kinds and _SMTP_UTF8_MAILBOX in wanting:
            return False
        # An otherName that does not say of which type it is may be of any.
        typed = {kind for kind in wanting if isinstance(kind, tuple)}
        typed_here = {kind for kind in kinds if isinstance(kind, tuple)}
        return not (OTHER in wanting and typed_here) and not (OTHER in kinds and typed)

    def _refused_wildcard(self, wildcards: Sequence[str]) -> str:
        """A wildcard is excluded by what it covers, too. wildcards: what follows the asterisk."""
        return next(
            (f"DNS name *.{name}" for name in wildcards if self.excluded.meet_wildcard(name)), ""
        )

    def _refused(
        self,
        kind: Kind,
        names: Sequence[Any],
        hold: Callable[[_Subtrees, Any], bool],
        text: Callable[[Any], str],
    ) -> str:
        is_limited, is_excluding = kind in self.permitted.kinds, kind in self.excluded.kinds
        is_unclear = kind in self.excluded.unclear
        for name in names:
            if (
                is_unclear
                or (is_limited and not hold(self.permitted, name))
                or (is_excluding and hold(self.excluded, name))
            ):
                return text(name)
        return ""


def _dns_text(domain: str) -> str:
    return f"DNS name {domain}"


def _mailbox_text(mailbox: tuple[str, str]) -> str:
    return f"mail address {mailbox[0]}@{mailbox[1]}"


def _uri_text(host: str) -> str:
    return f"URI with the host {host}"


def _address_text(octets: bytes) -> str:
    is_one = len(octets) in _OCTETS_OF_ADDRESSES
    return f"address {ipaddress.ip_address(octets) if is_one else octets.hex()}"


def _name_text(_name: object) -> str:
    return "directory name"


def _nanoseconds_for(names: Names, subtrees: _Subtrees) -> int:
    ns = 0
    if {DNS, MAIL, URI} & subtrees.kinds:
        ns += _NS_PER_DOMAIN * len(names.domains) + _NS_PER_LABEL * names.labels
        ns += _NS_PER_WILDCARD * len(names.wildcards)
        ns += _NS_PER_PARENT * len(subtrees.domains)
        ns += _NS_PER_MAILBOX * (len(names.mailboxes) + len(names.hosts))
    if ADDRESS in subtrees.kinds:
        of_an_address = _NS_PER_ADDRESS + _NS_PER_MASK * len(subtrees.masked)
        ns += of_an_address * len(names.addresses)
    if DIRECTORY in subtrees.kinds:
        if subtrees.is_excluded:
            ns += _NS_PER_PREPARED * names.to_prepare
        ns += _NS_PER_RDN * sum(len(name) + 1 for name in names.directories)
    return ns


def _domains(
    texts: Sequence[str], unclear: set[Kind], *, is_excluded: bool
) -> tuple[set[str], set[str]]:
    """Return DNS subtrees that hold their own base, and those that hold only what is below.

    Forms that have no meaning in RFC 5280, and that OpenSSL compares as text: a final dot, and a
    wildcard. Excluded they count for what was meant, permitted for nothing.
    """
    domains, below = set(), set()
    for text in texts:
        base = text.lower()
        if is_excluded:
            base = base.removesuffix(".") if len(base) > 1 else base
            base = base[1:] if base.startswith("*.") else base
        if not base:
            domains.add("")
        elif _HOST.match(base):
            domains.add(base)
        elif base.startswith(".") and _HOST.match(base[1:]):
            below.add(base[1:])
        else:
            unclear.add(DNS)
    return domains, below


def _hosts(texts: Sequence[str], kind: Kind, unclear: set[Kind]) -> tuple[set[str], set[str]]:
    """Return hosts, and hosts of which only those below are meant."""
    hosts, below = set(), set()
    for text in texts:
        base = text.lower()
        if _HOST.match(base):
            hosts.add(base)
        elif base.startswith(".") and _HOST.match(base[1:]):
            below.add(base[1:])
        else:
            unclear.add(kind)
    return hosts, below


def _tree(names: Sequence[Sequence[RelativeName]]) -> _Tree:
    directories: _Tree = {}
    for name in names:
        tree = directories
        for rdn in name:
            tree = tree.setdefault(rdn, {})
        tree[_END] = {}
    return directories


def _is_below(name: str, bases: frozenset[str]) -> bool:
    """What follows one of the dots in the name is among the bases."""
    if not bases:
        return False
    at = name.find(".")
    while at >= 0:
        if name[at + 1 :] in bases:
            return True
        at = name.find(".", at + 1)
    return False


def _mailbox(text: str) -> tuple[str, str] | None:
    """Return local part and host, or None for what has none that could be compared.

    Local parts are told apart by case; quoted ones can be written in many ways. Source: RFC 5321
    2.4, 4.1.2.
    """
    local, _, host = text.rpartition("@")
    is_plain = local and local.isascii() and not {'"', "\\", "@"} & set(local)
    is_host = len(host) <= _MAX_HOST_LENGTH and _HOST.match(host.lower())
    return (local, host.lower()) if is_plain and is_host else None


def _host_of_uri(text: str) -> str | None:
    """Return the host of a URI by its name, or None: RFC 5280 4.2.1.10 wants those refused.

    User information is for no constraint that anybody wrote, and misread by some.
    """
    found = _AUTHORITY.match(text.lower())
    if found is None:
        return None
    host, _, port = found.group(1).partition(":")
    is_short = len(host) <= _MAX_HOST_LENGTH
    is_name = is_short and _HOST.match(host) and not _NUMERIC.match(host)
    return host if is_name and (not port or port.isdigit()) else None
