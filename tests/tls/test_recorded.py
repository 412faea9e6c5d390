"""Answers of real servers are read correctly.

The recordings come from record_answers.py, where the hellos are.
"""

from pathlib import Path

import pytest
from cryptography import x509

from otpc_policy.tls.answer import Alert, Answer, AnswerReader, PlainHttp, ServerHello
from tests.tls.fuzz import leaf_in
from tests.tls.record_answers import HELLOS, RECORDED

NAMES = sorted(path.stem for path in RECORDED.glob("*.bin"))
REFUSED, WRONG_VERSION = Alert(2, 40), Alert(2, 70)
# SSL 3 is refused for its version or for its suites; Go knows only its own name and refuses another
# with internal_error.
ALERTS = {
    "openssl-refused": REFUSED,
    "openssl-ssl3": REFUSED,
    "tlslite-old-refused": REFUSED,
    "gnutls-ssl3": WRONG_VERSION,
    "nginx-tls10": WRONG_VERSION,
    "go-other-name": Alert(2, 80),
}
X25519, SECP256R1 = 29, 23


def group_wanted(name: str) -> int:
    """All prefer X25519 if it is offered, except tlslite-ng if no share came with the hello."""
    return SECP256R1 if name == "tlslite-tls13-retry" else X25519


def answer_of(name: str) -> tuple[Answer, bytes]:
    received = Path(RECORDED, f"{name}.bin").read_bytes()
    return AnswerReader().feed(received), received


def test_there_are_recordings_of_every_stack_and_version() -> None:
    assert {
        "openssl-tls13",
        "nginx-tls12",
        "apache-tls13-retry",
        "gnutls-tls10",
        "go-tls12-rsa",
        "tlslite-tls12",
        "tlslite-old-ssl3",
    } <= set(NAMES)
    assert set(ALERTS) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_of_a_real_server_is_read(name: str) -> None:
    answer, received = answer_of(name)
    stack, _, hello_name = (
        name.partition("-old-" if "-old-" in name else "-")
        if not name.startswith("plain-http")
        else (name, "", "")
    )
    if stack == name:
        assert answer == PlainHttp()
    elif name in ALERTS:
        assert answer == ALERTS[name]
    else:
        assert isinstance(answer, ServerHello)
        hello = HELLOS[hello_name]
        # tlslite-old speaks nothing above TLS 1.0.
        highest = 0x0301 if "-old-" in name else 0x0304
        assert answer.version == min(hello.version, highest)
        assert answer.legacy_version == min(answer.version, 0x0303)
        assert answer.cipher_suite in hello.suites
        assert answer.is_retry_request == (hello_name == "tls13-retry")
        assert answer.selected_group == (group_wanted(name) if answer.version == 0x0304 else None)
        assert answer.compression_method == 0
        assert_leaf_is_readable_below_tls_1_3(answer, received)


def assert_leaf_is_readable_below_tls_1_3(answer: ServerHello, received: bytes) -> None:
    leaf = leaf_in(received, lambda: len(received))
    assert (leaf is None) == (answer.version == 0x0304)
    if leaf is not None:
        names = (
            x509.load_der_x509_certificate(leaf)
            .extensions.get_extension_for_class(x509.SubjectAlternativeName)
            .value
        )
        assert names.get_values_for_type(x509.DNSName) == ["partner.test"]


def test_a_server_that_chooses_a_protocol_in_clear_is_heard() -> None:
    chosen = {
        name: answer.alpn
        for name in NAMES
        if isinstance(answer := answer_of(name)[0], ServerHello) and answer.alpn
    }
    assert chosen["go-tls12"] == b"h2"
    assert chosen["nginx-tls12"] in (b"h2", b"http/1.1")
