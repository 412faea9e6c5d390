"""Name constraints as `openssl verify` reads them: nothing is permitted here that it refuses, but
for what is written down, and for whatever is refused here alone the reason is known.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from cryptography import x509

from otpc_policy.pki.budget import WorkBudget
from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.constraints import ConstraintChecks
from otpc_policy.pki.lenient_decoding import DECODING_ERRORS, decoding_leniently
from tests.chains.second_opinion import pem
from tests.pki.constraint_oracle import permits
from tests.pki.constraint_tables import (
    DNS,
    MAIL,
    URI,
    Row,
    rows,
)
from tests.support.forging import AT, ROOT
from tests.support.requirements import require

pytestmark = pytest.mark.long

AUTHORITIES, LEAVES = 150, 14
_HOST = re.compile(rb"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_PLAIN_URI = re.compile(rb"[a-z]+://[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(:[0-9]+)?([/?].*)?")
_PLAIN_MAILBOX = re.compile(rb'[^"\\@]+@[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*')


def of(kind: int, side: Sequence[tuple[int, bytes]]) -> list[bytes]:
    return [content for tag, content in side if tag == kind]


def both(kind: int, row: Row) -> list[bytes]:
    return [*of(kind, row.permitted), *of(kind, row.excluded)]


def wildcard_meets_excluded(row: Row) -> bool:
    """A wildcard covers an excluded name; OpenSSL compares the two as text."""
    return any(
        base.lower().partition(b".")[2] == name[2:].lower()
        for name in of(DNS, row.names)
        if name.startswith(b"*.")
        for base in of(DNS, row.excluded)
    )


def has_final_dot(row: Row) -> bool:
    """A DNS name with a final dot, which no client sends and Go refuses."""
    return any(name.endswith(b".") for name in of(DNS, row.names)) and bool(both(DNS, row))


def excluded_without_meaning(row: Row) -> bool:
    """An excluded subtree that is no domain: Go refuses, OpenSSL finds that no name lies in it."""
    return any(
        not _HOST.fullmatch(base.removeprefix(b"."))
        for kind in (DNS, MAIL, URI)
        for base in of(kind, row.excluded)
        if (base or kind != DNS) and not (kind == MAIL and _PLAIN_MAILBOX.fullmatch(base))
        if of(kind, row.names)
    )


def odd_mailbox(row: Row) -> bool:
    """A mailbox that can be written in other ways, or is none."""
    names = of(MAIL, row.names)
    return bool(both(MAIL, row)) and not all(map(_PLAIN_MAILBOX.fullmatch, names))


def odd_uri(row: Row) -> bool:
    """User information, or a host that is no name: RFC 5280 4.2.1.10 and Go refuse the latter."""
    return bool(both(URI, row)) and any(
        b"10.0.0.1" in name or not _PLAIN_URI.fullmatch(name) for name in of(URI, row.names)
    )


def permitted_without_meaning(row: Row) -> bool:
    """A permitted subtree that is no domain, as a wildcard; to OpenSSL it is that very text."""
    return any(base and not _HOST.fullmatch(base.lstrip(b".")) for base in of(DNS, row.permitted))


def query_after_host(row: Row) -> bool:
    """The host of a URI ends at a question mark (RFC 3986 3.2); OpenSSL reads on."""
    return any(b"?" in name for name in of(URI, row.names))


STRICTER: Sequence[Callable[[Row], bool]] = (
    wildcard_meets_excluded,
    has_final_dot,
    excluded_without_meaning,
    odd_mailbox,
    odd_uri,
    permitted_without_meaning,
    query_after_host,
)


def common_name_next_to_addresses(row: Row) -> bool:
    """OpenSSL takes the common name for a DNS name where the subjectAltName has none; it is none
    (RFC 9525 6.3), and is never matched here.
    """
    return not of(DNS, row.names) and b"partner.test" in row.server.name.public_bytes()


WIDER: Sequence[Callable[[Row], bool]] = (common_name_next_to_addresses, query_after_host)


def is_permitted(row: Row) -> bool:
    path = tuple(decode_certificate(made.der) for made in (row.server, row.middle, ROOT))
    return ConstraintChecks(WorkBudget()).permit(path)


def openssl_permits(table: Sequence[Row], folder: Path) -> list[bool]:
    (folder / "root.pem").write_bytes(pem(ROOT.der))
    authorities = dict.fromkeys(row.middle.der for row in table)
    (folder / "rest.pem").write_bytes(b"".join(map(pem, authorities)))
    for number, row in enumerate(table):
        (folder / f"{number}.pem").write_bytes(pem(row.server.der))
    command = ["openssl", "verify", "-attime", str(int(AT.timestamp()))]
    command += ["-no-CAfile", "-no-CApath", "-no-CAstore"]
    command += ["-trusted", "root.pem", "-untrusted", "rest.pem"]
    run = subprocess.run(
        [*command, *(f"{number}.pem" for number in range(len(table)))],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    accepted = {int(found) for found in re.findall(r"^(\d+)\.pem: OK$", run.stdout, re.MULTILINE)}
    refused = {
        int(found) for found in re.findall(r"error (\d+)\.pem: verification failed", run.stderr)
    }
    assert accepted | refused == set(range(len(table)))
    return [number in accepted for number in range(len(table))]


@pytest.mark.parametrize("seed", range(3))
def test_openssl_agrees_about_every_row_or_the_reason_is_known(seed: int, tmp_path: Path) -> None:
    require("openssl")
    table = rows(seed, AUTHORITIES, LEAVES)
    wrong: list[str] = []
    reasons: Counter[str] = Counter()
    for row, theirs in zip(table, openssl_permits(table, tmp_path), strict=True):
        ours = is_permitted(row)
        if ours is theirs:
            reasons[str(ours)] += 1
            continue
        known = [reason.__name__ for reason in (WIDER if ours else STRICTER) if reason(row)]
        reasons.update(known[:1])
        if not known:
            wrong.append(f"{row}: {'permitted' if ours else 'refused'} here")
    assert wrong == []
    assert len(table) > 2_000
    assert min(reasons["True"], reasons["False"]) > 300


def test_every_reason_explains_something(tmp_path: Path) -> None:
    require("openssl")
    table = [*rows(0, AUTHORITIES, LEAVES), *rows(2, AUTHORITIES, LEAVES)]
    found: Mapping[str, set[str]] = {"wider": set(), "stricter": set()}
    for row, theirs in zip(table, openssl_permits(table, tmp_path), strict=True):
        ours = is_permitted(row)
        if ours is not theirs:
            for reason in WIDER if ours else STRICTER:
                if reason(row):
                    found["wider" if ours else "stricter"].add(reason.__name__)
                    break
    assert found["wider"] | found["stricter"] == {one.__name__ for one in (*WIDER, *STRICTER)}


@pytest.mark.parametrize("seed", range(3))
def test_the_oracle_agrees_about_every_row_that_it_can_read(seed: int) -> None:
    compared = 0
    for row in rows(seed, AUTHORITIES, LEAVES):
        with decoding_leniently():
            try:
                server, middle = row.server.certificate, row.middle.certificate
                constraints = middle.extensions.get_extension_for_class(x509.NameConstraints).value
                expected = permits(constraints, server)
            except DECODING_ERRORS:
                continue
        compared += 1
        assert is_permitted(row) is expected, str(row)
    assert compared > 1_000
