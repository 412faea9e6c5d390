"""The extensions of a certificate: which there are, and what those say that this package acts on.

Each is read by itself. Of one that cannot be read, nothing is assumed: it is named, and whoever
needs what it says refuses. The others are as good as ever. Extensions that nothing here acts on
stay unread, so that nothing in them can spoil the certificate; if they are critical, the
certificate is not understood. Source: RFC 5280 4.2.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from otpc_policy.pki.der import (
    BIT_STRING,
    BOOLEAN,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    DerError,
    Element,
    dotted,
    elements,
    inside,
    only_element,
)
from otpc_policy.pki.distribution_points import DistributionPoints, read_distribution_points
from otpc_policy.pki.general_names import GeneralNames, read_general_names

SUBJECT_KEY_IDENTIFIER, KEY_USAGE, SUBJECT_ALT_NAME = "2.5.29.14", "2.5.29.15", "2.5.29.17"
BASIC_CONSTRAINTS, NAME_CONSTRAINTS, POLICIES = "2.5.29.19", "2.5.29.30", "2.5.29.32"
POLICY_MAPPINGS, AUTHORITY_KEY_IDENTIFIER = "2.5.29.33", "2.5.29.35"
POLICY_CONSTRAINTS, EXTENDED_KEY_USAGE, INHIBIT_ANY_POLICY = "2.5.29.36", "2.5.29.37", "2.5.29.54"
TLS_FEATURE = "1.3.6.1.5.5.7.1.24"
# Where to learn more. Nothing that is trusted rests on it, so it spoils no certificate.
_CRL_DISTRIBUTION_POINTS = "2.5.29.31"
# For people.
NAMES_OF_EXTENSIONS: Mapping[str, str] = {
    SUBJECT_ALT_NAME: "subjectAltName",
    BASIC_CONSTRAINTS: "basicConstraints",
    KEY_USAGE: "keyUsage",
    EXTENDED_KEY_USAGE: "extendedKeyUsage",
    NAME_CONSTRAINTS: "nameConstraints",
    POLICIES: "certificatePolicies",
    POLICY_MAPPINGS: "policyMappings",
    POLICY_CONSTRAINTS: "policyConstraints",
    INHIBIT_ANY_POLICY: "inhibitAnyPolicy",
    TLS_FEATURE: "tlsFeature",
}
# RFC 5280 4.2.1.3, from bit 0 on.
_USAGES = (
    *("digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement"),
    *("keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"),
)
_FIRST_USAGE = 0x8000
# Hints for building paths: they demand nothing of who validates, critical or not.
_HINTS = frozenset({SUBJECT_KEY_IDENTIFIER, AUTHORITY_KEY_IDENTIFIER})
ANY_POLICY = "2.5.29.32.0"
# A CPS pointer and a user notice: the qualifiers that RFC 5280 4.2.1.4 knows.
_QUALIFIERS = frozenset({"1.3.6.1.5.5.7.2.1", "1.3.6.1.5.5.7.2.2"})
_STATUS_REQUEST = 5

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """One extension. content: where in the certificate its value stands, first and last octet."""

    oid: str
    is_critical: bool
    content: tuple[int, int]


@dataclass(frozen=True, slots=True)
class BasicConstraints:
    """path_length: None for any."""

    is_ca: bool
    path_length: int | None


@dataclass(frozen=True, slots=True, eq=False)
class NameConstraints:
    """Subtrees by the kind of their base.

    unread of either: kinds of which a subtree has a base that cannot be read, or a minimum or
    maximum, which RFC 5280 4.2.1.10 does not use.
    """

    permitted: GeneralNames
    excluded: GeneralNames


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRules:
    """What a certificate says of policies.

    policies: None without the extension. mappings: from the issuer's policy to the subject's.
    The numbers of certificates until a demand takes effect; None without one.
    """

    policies: frozenset[str] | None = None
    mappings: tuple[tuple[str, str], ...] = ()
    require_explicit: int | None = None
    inhibit_mapping: int | None = None
    inhibit_any: int | None = None
    has_unknown_qualifier: bool = False


NO_POLICY_RULES = PolicyRules()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extensions:
    """What the extensions say. None: there is no such extension, or it cannot be read.

    present, critical: by OID. unread: those that stand here, that this package acts on, and that
    cannot be read or are there twice, by OID. distribution_points: where CRLs are, which the
    certificate may say in part.
    """

    present: frozenset[str] = frozenset()
    critical: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()
    repeated: frozenset[str] = frozenset()
    basic_constraints: BasicConstraints | None = None
    key_usage: int | None = None
    purposes: frozenset[str] | None = None
    names: GeneralNames | None = None
    name_constraints: NameConstraints | None = None
    policy_rules: PolicyRules = field(default=NO_POLICY_RULES)
    tls_features: tuple[int, ...] = ()
    distribution_points: DistributionPoints | None = None

    @property
    def must_staple(self) -> bool:
        """The certificate asks for a stapled OCSP response (RFC 7633 4.2.3.1)."""
        return _STATUS_REQUEST in self.tls_features

    @property
    def usages(self) -> frozenset[str] | None:
        """The bits of keyUsage that are set, by name; None without the extension, or if unread."""
        usage = self.key_usage
        if usage is None:
            return None
        return frozenset(name for bit, name in enumerate(_USAGES) if usage & (_FIRST_USAGE >> bit))

    @property
    def not_understood(self) -> frozenset[str]:
        """Critical extensions that nothing here acts on."""
        strange = self.critical - NAMES_OF_EXTENSIONS.keys() - _HINTS
        is_qualified = self.policy_rules.has_unknown_qualifier and POLICIES in self.critical
        return strange | {POLICIES} if is_qualified else strange


NO_EXTENSIONS = Extensions()


def list_extensions(der: bytes, at: int, end: int) -> list[Extension]:
    """Return the extensions in the SEQUENCE that fills the range. Raises DerError."""
    found = []
    for outer in inside(der, at, end):
        parts = elements(der, outer.content, outer.end)
        if outer.tag != SEQUENCE or not 2 <= len(parts) <= 3:
            raise DerError("not an extension")
        kind, value = parts[0], parts[-1]
        flag = parts[1] if len(parts) == 3 else None
        if kind.tag != OBJECT_IDENTIFIER or value.tag != OCTET_STRING:
            raise DerError("not an extension")
        if flag is not None and (flag.tag != BOOLEAN or flag.end - flag.content != 1):
            raise DerError("not an extension")
        found.append(
            Extension(
                oid=dotted(der[kind.content : kind.end]),
                # FALSE is the default and should not be written; many write it.
                is_critical=flag is not None and der[flag.content] != 0,
                content=(value.content, value.end),
            )
        )
    return found


def read_extensions(der: bytes, listed: Sequence[Extension]) -> Extensions:
    """Read what this package acts on, each extension by itself."""
    values: dict[str, object] = {}
    unread: set[str] = set()
    places: dict[str, tuple[int, int]] = {}
    repeated: set[str] = set()
    for extension in listed:
        if extension.oid in places:
            repeated.add(extension.oid)
        places[extension.oid] = extension.content
    for oid, read in _READERS.items():
        if oid not in places:
            continue
        try:
            values[oid] = read(der, *places[oid])
        except DerError:
            unread.add(oid)
    for oid in repeated & values.keys():
        del values[oid]
        unread.add(oid)
    return Extensions(
        present=frozenset(places),
        critical=frozenset(extension.oid for extension in listed if extension.is_critical),
        unread=frozenset(unread),
        repeated=frozenset(repeated),
        basic_constraints=_of(values, BASIC_CONSTRAINTS, BasicConstraints),
        key_usage=_of(values, KEY_USAGE, int),
        purposes=_of(values, EXTENDED_KEY_USAGE, frozenset),
        names=_of(values, SUBJECT_ALT_NAME, GeneralNames),
        name_constraints=_of(values, NAME_CONSTRAINTS, NameConstraints),
        policy_rules=_policy_rules(values),
        tls_features=_of(values, TLS_FEATURE, tuple) or (),
        distribution_points=_distribution_points(der, places, repeated),
    )


def _distribution_points(
    der: bytes, places: Mapping[str, tuple[int, int]], repeated: set[str]
) -> DistributionPoints | None:
    if _CRL_DISTRIBUTION_POINTS in repeated:
        return DistributionPoints(has_unread=True)
    place = places.get(_CRL_DISTRIBUTION_POINTS)
    return None if place is None else read_distribution_points(der, *place)


def without_names(extensions: Extensions) -> Extensions:
    """The same, but what the subjectAltName says is not known, if there is one."""
    unread = extensions.unread | ({SUBJECT_ALT_NAME} & extensions.present)
    return replace(extensions, names=None, unread=unread)


def _of(values: Mapping[str, object], oid: str, kind: type[Value]) -> Value | None:
    found = values.get(oid)
    return found if isinstance(found, kind) else None


def _policy_rules(values: Mapping[str, object]) -> PolicyRules:
    policies = _of(values, POLICIES, tuple)
    constraints = _of(values, POLICY_CONSTRAINTS, tuple) or (None, None)
    return PolicyRules(
        policies=policies[0] if policies else None,
        has_unknown_qualifier=policies is not None and policies[1],
        mappings=_of(values, POLICY_MAPPINGS, tuple) or (),
        require_explicit=constraints[0],
        inhibit_mapping=constraints[1],
        inhibit_any=_of(values, INHIBIT_ANY_POLICY, int),
    )


def _basic_constraints(der: bytes, at: int, end: int) -> BasicConstraints:
    """FALSE is the default and should not be written; many write it."""
    parts = inside(der, at, end)
    is_ca, path_length = False, None
    if parts and parts[0].tag == BOOLEAN:
        is_ca = _boolean(der, parts.pop(0))
    if parts and parts[0].tag == INTEGER:
        path_length = _number(der, parts.pop(0))
    if parts:
        raise DerError("not basicConstraints")
    return BasicConstraints(is_ca, path_length)


def _key_usage(der: bytes, at: int, end: int) -> int:
    """Return the first two octets; bit 0 of RFC 5280 4.2.1.3 is the highest one.

    An unused bit that is set is not DER (X.690 11.2.1): readers that do not mask it would take it
    for a right that was not given.
    """
    bits = only_element(der, at, end, BIT_STRING)
    content = der[bits.content : bits.end]
    if not content or content[0] > 7 or (len(content) == 1 and content[0]):
        raise DerError("not keyUsage")
    if content[-1] & ((1 << content[0]) - 1) and len(content) > 1:
        raise DerError("an unused bit that is set")
    return int.from_bytes(content[1:3].ljust(2, b"\0"), "big")


def _purposes(der: bytes, at: int, end: int) -> frozenset[str]:
    parts = inside(der, at, end)
    if not parts:
        raise DerError("not extendedKeyUsage")
    return frozenset(_oid(der, part) for part in parts)


def _names(der: bytes, at: int, end: int) -> GeneralNames:
    return read_general_names(der, inside(der, at, end))


def _name_constraints(der: bytes, at: int, end: int) -> NameConstraints:
    sides: dict[int, GeneralNames] = {}
    for side in inside(der, at, end):
        if side.tag not in (0xA0, 0xA1) or side.tag in sides or (side.tag == 0xA0 and sides):
            raise DerError("not nameConstraints")
        sides[side.tag] = _subtrees(der, elements(der, side.content, side.end))
    if not sides:
        raise DerError("no constraint")
    return NameConstraints(sides.get(0xA0, GeneralNames()), sides.get(0xA1, GeneralNames()))


def _subtrees(der: bytes, subtrees: Sequence[Element]) -> GeneralNames:
    if not subtrees:
        raise DerError("no subtree")
    whole: list[Element] = []
    limited: list[Element] = []
    for subtree in subtrees:
        parts = elements(der, subtree.content, subtree.end)
        if subtree.tag != SEQUENCE or not parts:
            raise DerError("not a subtree")
        # A minimum of zero is the default and should not be written; some write it.
        zero = len(parts) == 2 and der[parts[1].start : parts[1].end] == b"\x80\x01\x00"
        (whole if len(parts) == 1 or zero else limited).append(parts[0])
    names, strange = read_general_names(der, whole), read_general_names(der, limited)
    return GeneralNames(
        dns=names.dns,
        mails=names.mails,
        uris=names.uris,
        addresses=names.addresses,
        directories=names.directories,
        others=names.others,
        unread=names.unread | strange.unread | kinds_of(strange),
        count=len(subtrees),
    )


def kinds_of(names: GeneralNames) -> frozenset[int | tuple[int, str]]:
    """Return the kinds of names that stand here, read or not."""
    read = {
        kind
        for kind, found in (
            (1, names.mails),
            (2, names.dns),
            (4, names.directories),
            (6, names.uris),
            (7, names.addresses),
        )
        if found
    }
    return names.others | names.unread | read


def _policies(der: bytes, at: int, end: int) -> tuple[frozenset[str], bool]:
    """Return the policies, and whether one has a qualifier that nobody here knows.

    What a qualifier holds is for people, and not looked at.
    """
    policies, is_strange = set(), False
    for policy in inside(der, at, end):
        parts = elements(der, policy.content, policy.end)
        if policy.tag != SEQUENCE or not 1 <= len(parts) <= 2:
            raise DerError("not a policy")
        oid = _oid(der, parts[0])
        if oid in policies:
            raise DerError("a policy twice")
        policies.add(oid)
        for qualifier in inside(der, parts[1].start, parts[1].end) if len(parts) == 2 else ():
            kind = elements(der, qualifier.content, qualifier.end)[:1]
            is_strange |= not kind or _oid(der, kind[0]) not in _QUALIFIERS
    if not policies:
        raise DerError("no policy")
    return frozenset(policies), is_strange


def _policy_mappings(der: bytes, at: int, end: int) -> tuple[tuple[str, str], ...]:
    found = []
    for mapping in inside(der, at, end):
        pair = elements(der, mapping.content, mapping.end)
        if mapping.tag != SEQUENCE or len(pair) != 2:
            raise DerError("not a mapping")
        found.append((_oid(der, pair[0]), _oid(der, pair[1])))
    if not found:
        raise DerError("no mapping")
    return tuple(found)


def _policy_constraints(der: bytes, at: int, end: int) -> tuple[int | None, int | None]:
    found: dict[int, int] = {}
    for part in inside(der, at, end):
        if part.tag not in (0x80, 0x81) or part.tag in found:
            raise DerError("not policyConstraints")
        found[part.tag] = _number(der, part)
    if not found:
        raise DerError("no constraint")
    return found.get(0x80), found.get(0x81)


def _inhibit_any(der: bytes, at: int, end: int) -> int:
    return _number(der, only_element(der, at, end, INTEGER))


def _tls_features(der: bytes, at: int, end: int) -> tuple[int, ...]:
    return tuple(_number(der, part) for part in inside(der, at, end) if part.tag == INTEGER)


def _boolean(der: bytes, element: Element) -> bool:
    if element.end - element.content != 1:
        raise DerError("not a boolean")
    return der[element.content] != 0


def _number(der: bytes, element: Element) -> int:
    """Return a number that counts something: not negative. Huge ones are all the same.

    DER writes it in as few octets as can be (X.690 8.3.2).
    """
    content = der[element.content : element.end]
    if not content or content[0] & 0x80:
        raise DerError("not a number")
    if len(content) > 1 and content[0] == 0 and content[1] < 0x80:
        raise DerError("a number that is longer than it need be")
    return min(int.from_bytes(content[-8:], "big"), 1 << 32) if len(content) <= 8 else 1 << 32


def _oid(der: bytes, element: Element) -> str:
    if element.tag != OBJECT_IDENTIFIER:
        raise DerError("not an object identifier")
    return dotted(der[element.content : element.end])


_READERS: Mapping[str, Callable[[bytes, int, int], object]] = {
    BASIC_CONSTRAINTS: _basic_constraints,
    KEY_USAGE: _key_usage,
    EXTENDED_KEY_USAGE: _purposes,
    SUBJECT_ALT_NAME: _names,
    NAME_CONSTRAINTS: _name_constraints,
    POLICIES: _policies,
    POLICY_MAPPINGS: _policy_mappings,
    POLICY_CONSTRAINTS: _policy_constraints,
    INHIBIT_ANY_POLICY: _inhibit_any,
    TLS_FEATURE: _tls_features,
}
