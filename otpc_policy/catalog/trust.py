"""Whom this process trusts: Mozilla's roots and the entries of the settings, whose files are read and decoded here."""

from pathlib import Path

from otpc_policy.catalog.schemas.trust import TrustTable
from otpc_policy.catalog.sources import CatalogSources
from otpc_policy.errors import ConfigurationError, MalformedCertificate
from otpc_policy.pki.anchors import problem_with_anchor, web_anchor_set
from otpc_policy.pki.certificate import view_certificate
from otpc_policy.pki.pem import read_pem_bundle
from otpc_policy.pki.roots import mozilla_roots
from otpc_policy.pki.trust import Trust, TrustEntry


def trust_from(settings: CatalogSources) -> Trust:
    """Return the trust that the settings describe. Raises ConfigurationError with the problems of every entry."""
    entries = []
    problems: list[str] = []
    for number, entry in enumerate(settings.trust):
        place = f"trust.{number}"
        try:
            entries.append(_entry(entry, place, problems))
        except ConfigurationError as error:
            problems.extend(f"{place}: {problem}" for problem in error.problems)
    if problems:
        raise ConfigurationError(problems)
    roots = mozilla_roots()
    web_anchor_set(
        roots
    )  # decoding them all takes 50 ms, which the first caller's deadline may not have
    return Trust(mozilla_roots=roots, entries=tuple(entries))


def _entry(entry: TrustTable, place: str, problems: list[str]) -> TrustEntry:
    before = len(problems)
    anchors: tuple[bytes, ...] = ()
    pins = set(entry.certificate_sha256)
    if entry.anchor_file is not None:
        anchors = _certificates(entry.anchor_file, f"{place}.anchor_file", problems)
        complaints = (problem_with_anchor(der) for der in anchors)
        problems.extend(
            f"{place}.anchor_file: {entry.anchor_file}: certificate {number}: {complaint}"
            for number, complaint in enumerate(complaints, 1)
            if complaint
        )
    if entry.certificate_file is not None:
        leaf = _certificates(entry.certificate_file, f"{place}.certificate_file", problems)[:1]
        try:
            pins.update(view_certificate(der).sha256 for der in leaf)
        except MalformedCertificate as error:
            problems.append(f"{place}.certificate_file: {entry.certificate_file}: {error}")
    if len(problems) > before:
        # What the files should have held is missing now; the entry would be blamed for that too.
        raise ConfigurationError(())
    return TrustEntry(
        hosts=entry.hosts,
        anchors=anchors,
        certificate_pins=frozenset(pins),
        spki_pins=frozenset(entry.spki_sha256),
        note=entry.note,
        ends_at=entry.ends,
    )


def _certificates(path: Path, place: str, problems: list[str]) -> tuple[bytes, ...]:
    try:
        return read_pem_bundle(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        problems.append(f"{place}: {path}: {error.strerror or 'cannot be read'}")
    except ValueError as error:
        problems.append(f"{place}: {path}: {error}")
    return ()
