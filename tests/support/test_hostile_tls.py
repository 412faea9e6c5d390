"""Hostile TLS servers accept what is in their tables, misbehave as specified, and record it."""

import socket
import ssl
import warnings
from collections.abc import Iterator
from dataclasses import replace

import pytest

from otpc_policy.core.facts import TlsVersion
from tests.hostile.servers import Backends, make_backends
from tests.support.hostile.behaviours import alert, finish, reset, stall
from tests.support.hostile.endpoint import Endpoint
from tests.support.hostile.hello import (
    Choice,
    SeenAlert,
    SeenHello,
    alert_bytes,
    hello_length,
    read_alert,
    read_choice,
    read_client_hello,
    record_bytes,
    server_hello_bytes,
)
from tests.support.hostile.pieces import (
    behind,
    byte_by_byte,
    cut_short,
    in_tiny_records,
    late,
    only_first,
    signed_wrongly,
)
from tests.support.hostile.turns import (
    after,
    at_most_at_once,
    at_random,
    in_turn,
    once_seen,
    queueing,
    where,
)
from tests.support.loopback import Listener, own_listener
from tests.support.tcp import Behaviour, Connection, Counts, counting_server, counting_servers

_MARK = b"mark"


def client_hello(
    *suites: int, version: TlsVersion = TlsVersion.TLS_1_2, server_name: bytes = b""
) -> bytes:
    """Return a hello with a name, groups and signature schemes."""
    listed = b"".join(suite.to_bytes(2, "big") for suite in suites)
    name = b"\0" + len(server_name).to_bytes(2, "big") + server_name
    content = len(name).to_bytes(2, "big") + name
    extensions = b"\0\0" + len(content).to_bytes(2, "big") + content if server_name else b""
    extensions += bytes.fromhex("000a00060004001d0017000d000a00080403080404010201")
    extensions = len(extensions).to_bytes(2, "big") + extensions
    body = (
        version.to_bytes(2, "big")
        + bytes(32)
        + b"\0"
        + len(listed).to_bytes(2, "big")
        + listed
        + b"\1\0"
        + extensions
    )
    return record_bytes(b"\x01" + len(body).to_bytes(3, "big") + body)


@pytest.fixture(scope="module")
def backends() -> Backends:
    return make_backends()


@pytest.fixture
def listener() -> Listener:
    return own_listener()


def ask(at: Listener, sent: bytes, *, timeout_s: float = 5) -> bytes:
    """Return the bytes up to a whole ServerHello or the end of the connection.

    Or b"reset", or the bytes before the server went silent and b"...silence".
    """
    received = b""
    try:
        with socket.create_connection((at.address, at.port), timeout=timeout_s) as client:
            client.sendall(sent)
            while read_choice(received) is None and (more := client.recv(65536)):
                received += more
    except ConnectionError:
        return b"reset"
    except TimeoutError:
        return received + b"...silence"
    return received


async def mark(connection: Connection) -> None:
    """A server that can be distinguished from others."""
    await connection.read()
    await connection.send(_MARK)


def shake(at: Listener, **how: object) -> tuple[str, str]:
    """Complete a handshake and send an HTTP request; return version and suite.

    how: minimum_version, maximum_version, ciphers.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(f"{how.get('ciphers', 'ALL')}:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        version = how.get("version", ssl.TLSVersion.TLSv1_2)
        assert isinstance(version, ssl.TLSVersion)
        context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection((at.address, at.port), timeout=5) as raw,
        context.wrap_socket(raw) as tls,
    ):
        tls.sendall(b"GET / HTTP/1.1\r\nHost: partner.test\r\n\r\n")
        assert tls.recv(100).startswith(b"HTTP/1.1 200")
        chosen = tls.cipher()
        assert chosen is not None
        return str(tls.version()), chosen[0]


def test_a_hello_is_read_as_it_was_sent() -> None:
    hello = read_client_hello(
        client_hello(0xC02F, 0x0035, version=TlsVersion.TLS_1_1, server_name=b"partner.test")
    )
    assert hello is not None
    assert (hello.cipher_suites, hello.server_name, hello.highest) == (
        (0xC02F, 0x0035),
        "partner.test",
        TlsVersion.TLS_1_1,
    )
    assert hello.versions == {TlsVersion.SSL_3_0, TlsVersion.TLS_1_0, TlsVersion.TLS_1_1}


def test_a_hello_of_ssl_2_is_read() -> None:
    sent = bytes.fromhex("801f0100020006000000100700c00100800102030405060708090a0b0c0d0e0f10")
    assert hello_length(sent) == len(sent)
    hello = read_client_hello(sent)
    assert hello is not None
    assert (hello.versions, hello.cipher_suites) == (
        frozenset({TlsVersion.SSL_2_0}),
        (0x0700C0, 0x010080),
    )


@pytest.mark.parametrize("end", range(0, 60, 7))
def test_half_a_hello_is_none(end: int) -> None:
    sent = client_hello(0xC02F)[:end]
    assert hello_length(sent) > len(sent) or end > len(client_hello(0xC02F))
    assert sent == b"" or read_client_hello(sent) is None or len(sent) == len(client_hello(0xC02F))


@pytest.mark.parametrize(
    ("version", "suite"),
    [
        (TlsVersion.TLS_1_0, 0x0005),
        (TlsVersion.TLS_1_2, 0xC02F),
        (TlsVersion.TLS_1_3, 0x1301),
        (0x0399, 0xEEEE),
    ],
)
def test_a_choice_is_read_whole_in_fragments_and_behind_warnings(version: int, suite: int) -> None:
    whole = server_hello_bytes(version, suite)
    fragments = b"".join(record_bytes(whole[place : place + 1]) for place in range(5, len(whole)))
    for sent in (whole, fragments, alert_bytes(112, level=1) + whole, whole + bytes(100)):
        assert read_choice(sent) == Choice(version, suite)
    for end in range(len(whole)):
        assert read_choice(whole[:end]) is None


def test_an_alert_is_read_behind_warnings() -> None:
    assert read_alert(alert_bytes(40)) == SeenAlert(2, 40)
    assert read_alert(alert_bytes(112, level=1)) == SeenAlert(1, 112)
    assert read_alert(alert_bytes(112, level=1) + alert_bytes(40)) == SeenAlert(2, 40)
    assert read_alert(server_hello_bytes(0x0303, 0xC02F)) is None


@pytest.mark.parametrize("name", ["strict", "weak_suite", "old_version", "old_rc4", "insecure"])
def test_a_server_accepts_what_its_table_says_and_refuses_the_rest(
    name: str, backends: Backends, listener: Listener
) -> None:
    """Up to TLS 1.2 here; TLS 1.3 is asked below by a client that speaks it."""
    endpoint: Endpoint = getattr(backends, name)
    suites = sorted(
        {suite for accepted in endpoint.truth.values() for suite in accepted} | {0x0004, 0xC030}
    )
    with counting_server(listener, endpoint):
        for version in (TlsVersion.TLS_1_0, TlsVersion.TLS_1_1, TlsVersion.TLS_1_2):
            for suite in suites:
                answer = ask(listener, client_hello(suite, version=version))
                accepted = [known for known in endpoint.truth if known <= version]
                if accepted and suite in endpoint.truth[max(accepted)]:
                    assert read_choice(answer) == Choice(max(accepted), suite), (
                        version,
                        hex(suite),
                    )
                else:
                    assert read_alert(answer) == SeenAlert(2, 40), (version, hex(suite))


def test_handshakes_complete_and_are_written_down(backends: Backends) -> None:
    listeners = own_listener(), own_listener(), own_listener()
    with counting_servers(
        dict(
            zip(
                listeners, (backends.strict, backends.weak_suite, backends.old_version), strict=True
            )
        )
    ) as counts:
        assert shake(listeners[0], version=ssl.TLSVersion.TLSv1_3)[0] == "TLSv1.3"
        assert shake(listeners[0], ciphers="ECDHE-RSA-AES128-GCM-SHA256") == (
            "TLSv1.2",
            "ECDHE-RSA-AES128-GCM-SHA256",
        )
        assert shake(listeners[1], ciphers="AES256-SHA") == ("TLSv1.2", "AES256-SHA")
        assert shake(listeners[2], ciphers="AES128-SHA", version=ssl.TLSVersion.TLSv1) == (
            "TLSv1",
            "AES128-SHA",
        )
    first = counts[listeners[0]].transcripts
    assert [(seen.flight_sent, seen.handshake_completed) for seen in first] == [(True, True)] * 2
    assert read_choice(first[1].sent) == Choice(TlsVersion.TLS_1_2, 0xC02F)
    hello = read_client_hello(first[1].received)
    assert hello is not None
    assert 0xC02F in hello.cipher_suites


@pytest.mark.parametrize(
    "send", [byte_by_byte, in_tiny_records, late(0.01), behind(alert_bytes(112, level=1))]
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_pieces_are_still_a_handshake(
    send: object, version: ssl.TLSVersion, backends: Backends, listener: Listener
) -> None:
    with counting_server(listener, replace(backends.strict, send=send)) as counts:  # type: ignore[arg-type]
        assert shake(listener, version=version)[0].replace(".", "_") == version.name
    assert read_choice(counts.transcripts[0].sent) is not None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_wrong_signature_completes_no_handshake(
    version: ssl.TLSVersion, backends: Backends, listener: Listener
) -> None:
    with (
        counting_server(listener, replace(backends.strict, send=signed_wrongly)) as counts,
        pytest.raises(ssl.SSLError),
    ):
        shake(listener, version=version)
    assert not counts.transcripts[0].handshake_completed


def test_an_answer_is_cut_where_it_was_said(backends: Backends, listener: Listener) -> None:
    hello = client_hello(0xC02F)
    for then, ending in ((finish, b""), (stall, b"...silence")):
        with counting_server(
            listener, cut_short(replace(backends.strict, send=only_first(7)), then)
        ) as counts:
            answer = ask(listener, hello, timeout_s=0.2)
        assert answer[:3] == b"\x16\x03\x03"
        assert answer[7:] == ending or then is finish
        assert counts.transcripts[0].sent == answer[:7]
        assert not counts.transcripts[0].flight_sent


def test_only_the_first_suites_may_be_read(backends: Backends, listener: Listener) -> None:
    with counting_server(listener, replace(backends.strict, reads_first=2)):
        assert read_alert(ask(listener, client_hello(0x0004, 0x0005, 0xC02F))) == SeenAlert(2, 40)
        assert read_choice(ask(listener, client_hello(0x0004, 0xC02F))) == Choice(
            TlsVersion.TLS_1_2, 0xC02F
        )


def answers(listener: Listener, behaviour: Behaviour, *hellos: bytes) -> tuple[list[bytes], Counts]:
    with counting_server(listener, behaviour) as counts:
        return [ask(listener, hello) for hello in hellos], counts


HELLO = client_hello(0xC02F)
OTHER = client_hello(0x0005, version=TlsVersion.TLS_1_0)
ALERT = alert_bytes(40)


def is_old(hello: SeenHello) -> bool:
    return hello.highest < TlsVersion.TLS_1_2


@pytest.mark.parametrize(
    ("behaviour", "hellos", "expected"),
    [
        (after(2, mark, alert(40)), [HELLO] * 4, [_MARK, _MARK, ALERT, ALERT]),
        (in_turn(mark, alert(40), reset), [HELLO] * 4, [_MARK, ALERT, b"reset", _MARK]),
        (
            where(is_old, alert(40), mark),
            [HELLO, OTHER, HELLO, b"GET / HTTP/1.1\r\n\r\n" + bytes(20_000)],
            [_MARK, ALERT, _MARK, _MARK],
        ),
        (once_seen(is_old, mark, alert(40)), [HELLO, OTHER, HELLO], [_MARK, ALERT, ALERT]),
        (at_random(0.0, 1, reset, mark), [HELLO] * 3, [_MARK] * 3),
        (at_random(1.0, 1, alert(40), mark), [HELLO] * 3, [ALERT] * 3),
    ],
    ids=["after", "in turn", "where", "once seen", "never", "always"],
)
def test_turns(
    behaviour: Behaviour, hellos: list[bytes], expected: list[bytes], listener: Listener
) -> None:
    assert answers(listener, behaviour, *hellos)[0] == expected


def test_chance_is_the_same_for_the_same_seed() -> None:
    runs = [
        answers(own_listener(), at_random(0.5, 3, alert(40), mark), *[HELLO] * 20)[0]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert set(runs[0]) == {_MARK, ALERT}


@pytest.fixture
def holding(listener: Listener) -> Iterator[socket.socket]:
    """A client that stays connected."""
    with socket.socket() as client:
        yield client


def test_connections_beyond_the_limit_are_turned_away(
    listener: Listener, holding: socket.socket
) -> None:
    with counting_server(listener, at_most_at_once(1, stall, alert(40))) as counts:
        holding.connect((listener.address, listener.port))
        assert ask(listener, HELLO) == ALERT
        holding.close()
    assert counts.most_open == 2


def test_connections_beyond_the_limit_wait_in_a_queue(
    listener: Listener, holding: socket.socket
) -> None:
    with counting_server(listener, queueing(1, mark)):
        holding.connect((listener.address, listener.port))
        assert ask(listener, HELLO, timeout_s=0.2) == b"...silence"
        holding.sendall(HELLO)
        assert ask(listener, HELLO) == _MARK


@pytest.mark.parametrize(
    ("behaviour", "closed_silently"),
    [(finish, True), (reset, True), (alert(40), False), (stall, False)],
    ids=["close", "reset", "alert", "stall"],
)
def test_who_ended_a_connection_is_written_down(
    behaviour: Behaviour, closed_silently: bool, listener: Listener
) -> None:
    with counting_server(listener, behaviour) as counts:
        # Only a stall takes so long.
        ask(listener, HELLO, timeout_s=1.0)
    (transcript,) = counts.transcripts
    assert transcript.received == HELLO
    assert transcript.closed_silently is closed_silently
