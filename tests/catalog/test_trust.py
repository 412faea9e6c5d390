"""Trust from settings: files are read, pins computed, every problem named."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from otpc_policy.app.settings import Settings
from otpc_policy.catalog.trust import load_trust
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.pki.roots import mozilla_roots
from tests.support.certificates import CertificateAuthority, self_signed


def test_without_entries_only_mozillas_roots_are_trusted() -> None:
    trust = load_trust(())
    assert (trust.mozilla_roots, trust.entries) == (mozilla_roots(), ())


def test_anchor_files_and_pins_become_entries(tmp_path: Path) -> None:
    authority = CertificateAuthority.create()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    leaf = self_signed()
    leaf.write(tmp_path, "leaf")
    ends = datetime(2030, 1, 1, tzinfo=UTC)
    settings = Settings(
        trust=[
            {
                "hosts": ["A.test"],
                "anchor_file": str(tmp_path / "ca.pem"),
                "note": "agreed",
                "ends": ends,
            },
            {
                "hosts": ["b.test", "*.b.test"],
                "certificate_file": str(tmp_path / "leaf.pem"),
                "spki_sha256": "AB" * 32,
            },
        ]
    )
    first, second = load_trust(settings.trust).entries
    assert (first.hosts, first.anchors, first.note, first.ends_at) == (
        ("a.test",),
        (authority.der,),
        "agreed",
        ends,
    )
    assert (second.certificate_pins, second.spki_pins) == (
        frozenset({leaf.sha256}),
        frozenset({"ab" * 32}),
    )
    assert not second.anchors


def test_every_problem_of_every_entry_is_named_once(tmp_path: Path) -> None:
    leaf = self_signed(ca=False)
    _chain, key = leaf.write(tmp_path, "leaf")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    entries = [
        {"hosts": ["a.test"], "anchor_file": str(tmp_path / "missing.pem")},
        {"hosts": ["b.test"], "anchor_file": str(tmp_path / "leaf.pem")},
        {"hosts": ["c.test"], "anchor_file": str(key)},
        {"hosts": ["d.test"], "certificate_file": str(garbage)},
        {"hosts": ["e.test"]},
    ]
    with pytest.raises(ConfigurationError) as raised:
        load_trust(Settings(trust=entries).trust)
    places = [problem.split(": ")[0] for problem in raised.value.problems]
    assert places == [
        "trust.0.anchor_file",
        "trust.1.anchor_file",
        "trust.2.anchor_file",
        "trust.3.certificate_file",
        "trust.4",
    ]
    assert "No such file" in raised.value.problems[0]
    assert "not a CA" in raised.value.problems[1]
    assert "private key" in raised.value.problems[2]


@pytest.mark.parametrize("key", ["anchor_file", "certificate_file"])
def test_files_of_the_settings_may_be_in_der_and_are_refused_by_name(
    tmp_path: Path, key: str
) -> None:
    authority = CertificateAuthority.create()
    der, utf16 = tmp_path / "ca.der", tmp_path / "ca16.pem"
    der.write_bytes(authority.der)
    utf16.write_bytes(authority.pem.decode().encode("utf-16"))
    (entry,) = load_trust(Settings(trust=[{"hosts": ["a.test"], key: str(der)}]).trust).entries
    assert entry.anchors == (authority.der,) or len(entry.certificate_pins) == 1
    with pytest.raises(ConfigurationError) as raised:
        load_trust(Settings(trust=[{"hosts": ["a.test"], key: str(utf16)}]).trust)
    (problem,) = raised.value.problems
    assert problem.startswith(f"trust.0.{key}: {utf16}: is text in UTF-16LE")


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        ("2027-01-01", "2027-01-01 has no time"),
        ("2027-01-01T00:00:00", "has no zone"),
        ("next year", "must be a date and time with a zone"),
    ],
)
def test_an_end_that_is_no_instant_says_what_it_lacks(ends: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        Settings(trust=[{"hosts": ["a.test"], "certificate_sha256": "ab" * 32, "ends": ends}])
