"""Thousands of names below name constraints, in the manner of BetterTLS and x509-limbo: written as
DER by hand, so that forms are among them that no library writes.
"""

import ipaddress
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from cryptography import x509

from tests.support.forging import ROOT, Made, authority, leaf
from tests.support.signing import common_name_only, der_element, private_key

_KEY = private_key("ec256")
MAIL, DNS, DIRECTORY, URI, ADDRESS, REGISTERED = 0x81, 0x82, 0xA4, 0x86, 0x87, 0x88
_HOSTS = (
    "partner.test",
    "a.partner.test",
    "b.a.partner.test",
    "artner.test",
    "xpartner.test",
    "test",
    "other.test",
    "PARTNER.Test",
    "a_b.partner.test",
    "xn--bcher-kva.partner.test",
)
_ODD_HOSTS = ("partner.test.", ".partner.test", "a..test", "", ".", "*", "a b.test", "x*.test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Names below constraints, each as tag and content; and the chain that holds them."""

    permitted: tuple[tuple[int, bytes], ...]
    excluded: tuple[tuple[int, bytes], ...]
    names: tuple[tuple[int, bytes], ...]
    middle: Made
    server: Made

    def __str__(self) -> str:
        sides = ("permitted", self.permitted), ("excluded", self.excluded), ("names", self.names)
        return "; ".join(
            f"{label} {', '.join(f'{tag & 31}:{content!r}' for tag, content in side)}"
            for label, side in sides
            if side
        )


@cache
def rows(seed: int, authorities: int, leaves: int) -> tuple[Row, ...]:
    """Return rows by the seed: so many authorities, each above so many leaves."""
    dice, found = random.Random(seed), []
    for number in range(authorities):
        sides = [
            tuple(_subtree(dice) for _ in range(dice.choice((0, 1, 1, 1, 2, 3)))) for _ in range(2)
        ]
        if not any(sides):
            sides[dice.randrange(2)] = (_subtree(dice),)
        middle = authority(
            f"Middle {seed}.{number}",
            by=ROOT,
            key=_KEY,
            plus=[(_name_constraints(*sides), True)],
        )
        for _ in range(leaves):
            names = tuple(_name(dice, sides) for _ in range(dice.choice((1, 1, 2, 3))))
            found.append(
                Row(
                    permitted=sides[0],
                    excluded=sides[1],
                    names=names,
                    middle=middle,
                    server=_leaf(middle, names, dice),
                )
            )
    return tuple(found)


def _leaf(middle: Made, names: Sequence[tuple[int, bytes]], dice: random.Random) -> Made:
    san = der_element(0x30, b"".join(der_element(tag, content) for tag, content in names))
    extension = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, san)
    subject = x509.Name([])
    if dice.random() < 0.5:
        subject = common_name_only(dice.choice(("leaf", "partner.test", "Partner  A")))
    return leaf(
        middle,
        subject=subject,
        key=_KEY,
        without=[x509.SubjectAlternativeName],
        plus=[(extension, not subject.rdns)],
    )


def _name_constraints(
    permitted: Sequence[tuple[int, bytes]], excluded: Sequence[tuple[int, bytes]]
) -> x509.UnrecognizedExtension:
    sides = b"".join(
        der_element(
            tag, b"".join(der_element(0x30, der_element(kind, base)) for kind, base in side)
        )
        for tag, side in ((0xA0, permitted), (0xA1, excluded))
        if side
    )
    return x509.UnrecognizedExtension(x509.NameConstraints.oid, der_element(0x30, sides))


def _subtree(dice: random.Random) -> tuple[int, bytes]:
    host = dice.choice(_HOSTS)
    dotted = "." + host if dice.random() < 0.35 else host
    match dice.randrange(12):
        case 0 | 1 | 2 | 3 | 4:
            odd = dice.choice((*_ODD_HOSTS, "*.partner.test", "https://partner.test/"))
            return DNS, (odd if dice.random() < 0.08 else dotted).encode()
        case 5 | 6:
            mailbox = f"{dice.choice('uv')}@{host}"
            return MAIL, dice.choice((dotted, dotted, mailbox, "", "@" + host)).encode()
        case 7:
            return URI, (dotted if dice.random() < 0.95 else "").encode()
        case 8 | 9:
            return ADDRESS, _network(dice)
        case 10:
            return DIRECTORY, common_name_only(dice.choice(("leaf", "LEAF", "x"))).public_bytes()
        case _:
            return dice.choice(
                ((DIRECTORY, b"\x30\x00"), (REGISTERED, b"\x2a\x03"), (ADDRESS, bytes(5)))
            )


def _network(dice: random.Random) -> bytes:
    size = dice.choice((4, 4, 16))
    address = _address(dice, size)
    mask = ((1 << 8 * size) - 1) ^ ((1 << dice.choice((0, 1, 8, 16, 8 * size))) - 1)
    if dice.random() < 0.1:
        # Holes in the mask, which Go refuses and OpenSSL takes as they stand.
        mask ^= 1 << 8 * size - 1
    return address + mask.to_bytes(size, "big")


def _address(dice: random.Random, size: int) -> bytes:
    last = dice.choice((1, 2))
    if size == 4:
        return bytes((10, dice.choice((0, 1)), 0, last))
    return ipaddress.ip_address(f"2001:db8::{dice.choice((0, 1))}:{last}").packed


def _name(dice: random.Random, sides: Sequence[Sequence[tuple[int, bytes]]]) -> tuple[int, bytes]:
    host = dice.choice(_HOSTS)
    given = [base.lstrip(b".").decode("latin-1") for side in sides for _, base in side]
    if given and dice.random() < 0.3:
        host = dice.choice((given[0], "x." + given[0])) if given[0].isascii() else host
    match dice.randrange(10):
        case 0 | 1 | 2 | 3:
            return DNS, (dice.choice(_ODD_HOSTS) if dice.random() < 0.08 else host).encode()
        case 4 | 5:
            return DNS, ("*." + host).encode()
        case 6:
            local = dice.choice(("u", "v", "U", '"u"', ""))
            return MAIL, (f"{local}@{host}" if dice.random() < 0.95 else host).encode()
        case 7:
            form = dice.choice(
                (
                    "https://{}/",
                    "https://{}",
                    "ldap://{}:389/x",
                    "https://{}?x=/y",
                    "https://u@{}/",
                    "urn:{}",
                    "https://10.0.0.1/{}",
                )
            )
            return URI, form.format(host).encode()
        case 8:
            return ADDRESS, _address(dice, dice.choice((4, 16)))
        case _:
            return dice.choice(
                (
                    (DIRECTORY, common_name_only(dice.choice(("leaf", "x"))).public_bytes()),
                    (REGISTERED, b"\x2a\x03"),
                    (ADDRESS, bytes(5)),
                )
            )
