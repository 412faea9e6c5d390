"""Texts that partners had a part in are shortened and printable, wherever people read them."""

from collections.abc import Callable
from dataclasses import fields

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.core.shown_text import MAX_ALGORITHM, MAX_SERIAL_NUMBER, MAX_TEXT
from otpc_policy.pki.certificate import view_certificate
from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.lenient_decoding import decoding_leniently
from otpc_policy.pki.trust import Trust
from otpc_policy.policy.evaluate import evaluate_chain
from otpc_policy.policy.finding import Verdict
from otpc_policy.policy.rules.certificate_text import readable
from tests.support.forging import (
    AT,
    KEY,
    ROOT,
    SERIAL,
    SIGNATURE,
    SUBJECT,
    Edit,
    Made,
    authority,
    leaf,
    organization,
)
from tests.support.signing import der_element

_LONG = "x" * 50_000
_ESCAPES = "a\x1b[2J\u202e\r\nb"
_PURPOSES = x509.ExtendedKeyUsage([x509.ObjectIdentifier(f"1.2.3.{n}") for n in range(2_000)])
# As many octets as are read of an object identifier, and two hundred digits more.
_OID = der_element(0x06, b"\x2a" + b"\x03" * 63)
_DOTTED = "1.2" + ".3" * 60
_BITS = der_element(0x03, b"\0" * 40)


def _replaced(place: int, by: bytes) -> Edit:
    def edit(elements: list[bytes]) -> None:
        elements[place] = by

    return edit


def _named(text: str) -> x509.Name:
    """Return a common name of any length."""
    with decoding_leniently():
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, _validate=False)])


def _under(name: x509.Name) -> Made:
    """Return an issuer of that name that nobody trusts."""
    return Made(ROOT.der, ROOT.key, name)


def _holding(name: x509.Name, by: Made) -> Made:
    """Return an authority with that name."""

    def edit(elements: list[bytes]) -> None:
        elements[SUBJECT] = name.public_bytes()

    made = authority("other", by=by, path_length=0, edit=edit)
    return Made(made.der, made.key, name)


def _critical(oid: str) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x05\x00")


_CURVE = der_element(0x30, bytes.fromhex("06072a8648ce3d0201") + _OID)
HOSTILE: dict[str, list[Made]] = {
    "DNS names": [leaf(ROOT, dns=[_LONG[:2_000]] * 20)],
    "common name": [leaf(ROOT, subject=_named(_LONG), without=[x509.SubjectAlternativeName])],
    "issuer": [leaf(_under(organization(_LONG)))],
    "purposes": [leaf(ROOT, plus=[(_PURPOSES, False)])],
    "kind of key": [
        leaf(ROOT, edit=_replaced(KEY, der_element(0x30, der_element(0x30, _OID) + _BITS)))
    ],
    "curve": [leaf(ROOT, edit=_replaced(KEY, der_element(0x30, _CURVE + _BITS)))],
    "algorithm": [leaf(ROOT, edit=_replaced(SIGNATURE, der_element(0x30, _OID)))],
    "serial number": [leaf(ROOT, edit=_replaced(SERIAL, der_element(0x02, b"\x01" * 50_000)))],
    "extension": [leaf(ROOT, plus=[(_critical(_DOTTED), True)])],
    "extension of an issuer": [
        leaf(odd := authority("Odd", by=ROOT, plus=[(_critical(_DOTTED), True)])),
        odd,
    ],
    "subject of an issuer": [
        leaf(long := _holding(_named(_LONG), ROOT)),
        long,
    ],
    "control characters": [
        leaf(
            _under(_named(_ESCAPES)),
            subject=_named(_ESCAPES),
            without=[x509.SubjectAlternativeName],
        )
    ],
}
_EVERY = pytest.mark.parametrize("chain", HOSTILE.values(), ids=HOSTILE.keys())


def _verdict(chain: list[Made], **trust: tuple[bytes, ...]) -> Verdict:
    return evaluate_chain(
        [made.der for made in chain],
        load_builtin_policies().get("nist-800-52r2"),
        server_name="other.test",
        trust=Trust(mozilla_roots=trust.get("roots", (ROOT.der,))),
        request_anchors=trust.get("anchors", ()),
        now=AT,
    )


@_EVERY
def test_messages_and_evidence_are_short_and_printable(chain: list[Made]) -> None:
    findings = _verdict(chain).findings
    assert findings
    for finding in findings:
        assert len(finding.message) < 1_200, finding.message
        assert finding.message.isprintable()
        for evidence in finding.evidence:
            assert max(len(evidence.observed), len(evidence.expected)) < 1_000
            assert evidence.observed.isprintable()


@_EVERY
def test_what_is_kept_of_a_chain_for_people_is_short_and_printable(chain: list[Made]) -> None:
    judgement = judge_chain(
        [made.der for made in chain],
        server_name="partner.test",
        stapled_ocsp_response=b"\x30\x00",
        trust=Trust(mozilla_roots=(ROOT.der,)),
        at=AT,
    )
    held = (judgement, *judgement.certificates)
    texts = [value for each in held for value in _texts_of(each)]
    assert texts
    assert max(map(len, texts)) < MAX_TEXT + 50
    assert all(map(str.isprintable, texts))


def _texts_of(holder: object) -> list[str]:
    values = [getattr(holder, field.name) for field in fields(holder)]  # type: ignore[arg-type]
    grouped = [each for value in values if isinstance(value, tuple) for each in value]
    return [value for value in (*values, *grouped) if isinstance(value, str)]


@pytest.mark.parametrize(
    ("name", "text", "at_most"),
    [
        ("kind of key", lambda view: view.key_name, MAX_ALGORITHM),
        ("curve", lambda view: view.key_name, MAX_ALGORITHM),
        ("algorithm", lambda view: view.signature_algorithm, MAX_ALGORITHM),
        ("serial number", lambda view: view.serial_number, MAX_SERIAL_NUMBER),
        ("issuer", lambda view: view.issuer, MAX_TEXT),
        ("common name", lambda view: view.subject, MAX_TEXT),
        ("common name", lambda view: view.common_names[0], MAX_TEXT),
        ("DNS names", lambda view: view.subject_alt_names[0], MAX_TEXT),
    ],
)
def test_what_was_left_out_of_a_certificate_is_counted(
    name: str, text: Callable[[object], str], at_most: int
) -> None:
    shown = text(view_certificate(HOSTILE[name][0].der))
    assert shown.endswith("more characters)")
    assert shown.index("…") == at_most


def test_an_anchor_of_the_request_has_a_short_name() -> None:
    own = _holding(_named(_LONG), ROOT)
    verdict = _verdict([leaf(own)], roots=(), anchors=(own.der,))
    (finding,) = (
        each for each in verdict.findings if each.code == "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR"
    )
    assert "more characters" in finding.message
    assert len(finding.message) < 1_000


def test_what_was_left_out_is_counted() -> None:
    assert readable("x" * 300) == "x" * 300
    assert readable("x" * 1_500) == "x" * 300 + "… (1,200 more characters)"
