"""Whom a process trusts: Mozilla's roots, and the entries of the settings with their files."""

from collections.abc import Sequence
from pathlib import Path

from otpc_policy.catalog.schemas.trust import TrustTable
from otpc_policy.core.errors import ConfigurationError, MalformedCertificate
from otpc_policy.pki.anchors import problem_with_anchor, web_anchor_set
from otpc_policy.pki.certificate import view_certificate
from otpc_policy.pki.certificate_files import read_certificate_file
from otpc_policy.pki.roots import mozilla_roots
from otpc_policy.pki.trust import Trust, TrustEntry


def load_trust(tables: Sequence[TrustTable]) -> Trust:
    """Return the trust that the settings describe.

    Raises ConfigurationError with the problems of every entry.
    """
    entries: list[TrustEntry] = []
    problems: list[str] = []
    for number, table in enumerate(tables):
        place = f"trust.{number}"
        found = len(problems)
        anchors, pins = _files(table, place, problems)
        if len(problems) > found:
            # What the files should have held is missing; the entry is not to blame for that.
            continue
        try:
            entries.append(_entry(table, anchors, pins))
        except ConfigurationError as error:
            problems.extend(f"{place}: {problem}" for problem in error.problems)
    if problems:
        raise ConfigurationError(problems)
    roots = mozilla_roots()
    # Decoding them all takes 50 ms, which the first caller's deadline may not allow.
    web_anchor_set(roots)
    return Trust(mozilla_roots=roots, entries=tuple(entries))


def _entry(table: TrustTable, anchors: tuple[bytes, ...], pins: frozenset[str]) -> TrustEntry:
    return TrustEntry(
        hosts=table.hosts,
        anchors=anchors,
        certificate_pins=pins.union(table.certificate_sha256),
        spki_pins=frozenset(table.spki_sha256),
        note=table.note,
        ends_at=table.ends,
    )


def _files(
    table: TrustTable, place: str, problems: list[str]
) -> tuple[tuple[bytes, ...], frozenset[str]]:
    """Return the anchors in DER and the pins that the files of an entry hold."""
    anchors: tuple[bytes, ...] = ()
    pins: frozenset[str] = frozenset()
    if (file := table.anchor_file) is not None:
        anchors = _certificates(file, f"{place}.anchor_file", problems)
        problems.extend(
            f"{place}.anchor_file: {file}: certificate {number}: {problem}"
            for number, der in enumerate(anchors, 1)
            if (problem := problem_with_anchor(der)) is not None
        )
    if (file := table.certificate_file) is not None:
        try:
            leaves = _certificates(file, f"{place}.certificate_file", problems)[:1]
            pins = frozenset(view_certificate(der).sha256 for der in leaves)
        except MalformedCertificate as error:
            problems.append(f"{place}.certificate_file: {file}: {error}")
    return anchors, pins


def _certificates(file: Path, place: str, problems: list[str]) -> tuple[bytes, ...]:
    try:
        content = file.read_bytes()
    except OSError as error:
        problems.append(f"{place}: {file}: {error.strerror or 'cannot be read'}")
        return ()
    try:
        return read_certificate_file(content, str(file))
    except ValueError as error:
        problems.append(f"{place}: {file}: {error}")
    return ()
