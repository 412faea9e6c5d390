"""What our own hellos offer."""

import ssl

from otpc_policy.tls.client_hello import offered_cipher_suites


def test_suites_are_read_off_a_real_hello_in_order() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="partner.test")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        sent = outgoing.read()
    assert offered_cipher_suites(sent) == (0xC02F, 0xC023)
    assert offered_cipher_suites(sent[:30]) == ()


def test_suites_are_read_off_an_ssl_2_hello() -> None:
    sent = bytes.fromhex("801c 01 0002 0006 0000 000d") + bytes.fromhex("010080 0700c0") + b"c" * 13
    assert offered_cipher_suites(sent) == (0x010080, 0x0700C0)
    assert offered_cipher_suites(b"") == ()
