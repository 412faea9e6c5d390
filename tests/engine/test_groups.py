"""Groups, key exchanges and extensions of real servers are as they were configured."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dh
from cryptography.hazmat.primitives.serialization import Encoding, ParameterFormat

from otpc_policy.core.facts import (
    AddressFacts,
    Depth,
    Evidence,
    HandshakeFacts,
    KeyExchangeFact,
    Support,
    TlsVersion,
)
from otpc_policy.core.registries.groups import CLIENT_GROUPS, CLIENT_HYBRIDS
from tests.differential.group_cases import group_cases
from tests.engine.partners import (
    Handler,
    endpoint,
    reset,
    says,
    scanner,
    server,
    turns_hostile,
)
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.loopback import Listener, free_port, own_listener, vetted
from tests.support.requirements import require
from tests.support.servers import (
    LegacyOffer,
    TlsOffer,
    legacy_server,
    nginx,
    s_server,
)
from tests.support.servers.envoy import envoy

YES, NO = Support.YES, Support.NO
AUTHORITY = CertificateAuthority.create()
RSA, ECDSA = AUTHORITY.issue(key="rsa2048"), AUTHORITY.issue(key="ec256")
OFFER = TlsOffer(certificates=(RSA,))
DHE = "ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256"
Serve = Callable[[Listener], AbstractContextManager[Listener]]
# RFC 2409 6.2: the second Oakley group, of 1024 bits.
_OAKLEY_2 = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF",
    16,
)
CASES = {case.name: case for case in group_cases(AUTHORITY)}


async def measure(at: Listener, *, asks_groups: bool = False) -> AddressFacts:
    async with scanner(connection_deadline_s=8.0) as one:
        return await one.measure(
            endpoint(at.port), vetted(at.address), Depth.STANDARD, asks_groups=asks_groups
        )


@pytest.mark.parametrize("name", CASES)
async def test_the_groups_of_a_server_are_those_of_its_configuration(name: str) -> None:
    case = CASES[name]
    with case.serve() as at:
        facts = await measure(at, asks_groups=True)
    found = {
        support: {fact.code_point for fact in facts.groups if fact.support is support}
        for support in Support
    }
    assert found[YES] == case.groups
    assert found[NO] == set(CLIENT_GROUPS) - case.groups
    evidence = Evidence.CLOSED_CONFIRMED if case.closes else Evidence.ALERT
    assert {fact.evidence for fact in facts.groups if fact.support is NO} == {evidence}
    # What is chosen below TLS 1.3 is one of them.
    curves = {fact.group for fact in facts.key_exchanges if fact.group is not None}
    assert curves <= case.groups
    assert not any("group" in remark for remark in facts.remarks)


async def test_groups_are_asked_about_only_where_that_is_wanted() -> None:
    with s_server(own_listener(), OFFER) as at:
        plain, asked = [await measure(at, asks_groups=wanted) for wanted in (False, True)]
    assert plain.groups == ()
    assert asked.connections_used > plain.connections_used
    assert replaced(asked) == replaced(plain)


def replaced(facts: AddressFacts) -> tuple[object, ...]:
    """What both measurements have to agree about."""
    return facts.versions, facts.key_exchanges, facts.handshake, facts.deployments, facts.remarks


@contextmanager
def _all_of_openssl() -> Iterator[Listener]:
    at = Listener("127.0.0.1", free_port("127.0.0.1"))
    groups = "X25519:P-256:X448:P-521:P-384:ffdhe2048:ffdhe3072:ffdhe4096:ffdhe6144:ffdhe8192"
    with s_server(at, OFFER, "-groups", groups):
        yield at


def limiting(port: int, *, room: int, into: Handler) -> Handler:
    """Relay to a good server so many connections at once; the others are turned away."""
    relay, taken = turns_hostile(port, after=10**6, into=into), 0

    async def admit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        if taken >= room:
            await into(reader, writer)
            return
        taken += 1
        try:
            await relay(reader, writer)
        finally:
            taken -= 1

    return admit


@pytest.mark.parametrize("into", [says(b"\x15\3\3\0\2\2\x28"), reset], ids=["alert", "reset"])
@pytest.mark.parametrize("room", [1, 3, 8, 16])
async def test_a_limit_on_connections_makes_no_accepted_group_refused(
    room: int, into: Handler
) -> None:
    with _all_of_openssl() as at:
        async with server(limiting(at.port, room=room, into=into)) as port:
            facts = await measure(Listener("127.0.0.1", port), asks_groups=True)
    refused = {fact.code_point for fact in facts.groups if fact.support is NO}
    assert refused <= set(CLIENT_HYBRIDS)


@pytest.mark.parametrize("into", [says(b"\x15\3\3\0\2\2\x28"), reset], ids=["alert", "reset"])
@pytest.mark.parametrize("after", range(4, 64, 4))
async def test_a_server_that_turns_hostile_makes_no_accepted_group_refused(
    after: int, into: Handler
) -> None:
    with _all_of_openssl() as at:
        async with server(turns_hostile(at.port, after=after, into=into)) as port:
            facts = await measure(Listener("127.0.0.1", port), asks_groups=True)
    refused = {fact.code_point for fact in facts.groups if fact.support is NO}
    assert refused <= set(CLIENT_HYBRIDS)


async def test_a_server_without_tls_1_3_has_no_groups_to_ask_about() -> None:
    offer = TlsOffer(certificates=(ECDSA,), versions=("1.2",))
    with s_server(own_listener(), offer, "-groups", "P-384") as at:
        facts = await measure(at, asks_groups=True)
    assert facts.groups == ()
    chosen = KeyExchangeFact(version=TlsVersion.TLS_1_2, group=24, bits=384)
    assert facts.key_exchanges == (chosen,)


async def test_a_group_that_nothing_here_can_do_is_named_where_it_is_demanded() -> None:
    alone = TlsOffer(certificates=(RSA,), versions=("1.3",))
    with s_server(own_listener(), alone, "-groups", "ffdhe2048") as at:
        facts = await measure(at)
    assert any("demands key exchange over ffdhe2048" in remark for remark in facts.remarks)
    assert not any(fact.chain for fact in facts.deployments)


async def test_a_hybrid_group_that_is_demanded_shows_its_certificate() -> None:
    alone = TlsOffer(certificates=(RSA,), versions=("1.3",))
    with envoy(own_listener(), alone, groups=("X25519MLKEM768",)) as at:
        facts = await measure(at)
    assert not any("demands key exchange" in remark for remark in facts.remarks)
    assert any(fact.chain for fact in facts.deployments)


def parameters(bits: int) -> Callable[[Path], Path]:
    """Write a group of this size: RFC 7919's, or the second of Oakley."""

    def written(directory: Path) -> Path:
        path = directory / f"dh{bits}.pem"
        if bits == 1024:
            numbers = dh.DHParameterNumbers(_OAKLEY_2, 2).parameters()
            path.write_bytes(numbers.parameter_bytes(Encoding.PEM, ParameterFormat.PKCS3))
            return path
        option = f"group:ffdhe{bits}"
        command = (require("openssl"), "genpkey", "-genparam", "-algorithm", "DH")
        arguments = ("-pkeyopt", option, "-out", str(path))
        subprocess.run((*command, *arguments), check=True, capture_output=True)
        return path

    return written


@pytest.mark.parametrize("bits", [1024, 2048, 3072])
async def test_the_size_of_a_finite_field_is_read_at_tls_1_2(tmp_path: Path, bits: int) -> None:
    offer = TlsOffer(certificates=(RSA,), versions=("1.2",), ciphers=DHE)
    file = str(parameters(bits)(tmp_path))
    with s_server(own_listener(), offer, "-dhparam", file, "-groups", "P-256") as at:
        facts = await measure(at)
    assert facts.key_exchanges == (
        KeyExchangeFact(version=TlsVersion.TLS_1_2, group=23, bits=256),
        KeyExchangeFact(version=TlsVersion.TLS_1_2, group=None, bits=bits),
    )


# Extensions and compression.


def shown(extended: Support, renegotiation: Support, compression: Support = NO) -> HandshakeFacts:
    return HandshakeFacts(
        extended_master_secret=extended,
        secure_renegotiation=renegotiation,
        compression=compression,
    )


@pytest.mark.parametrize("leaf", [RSA, ECDSA], ids=["RSA", "ECDSA"])
@pytest.mark.parametrize("versions", [("1.2",), ("1.2", "1.3")])
async def test_a_current_server_has_both_extensions_and_no_compression(
    leaf: Issued, versions: tuple[str, ...]
) -> None:
    offer = TlsOffer(certificates=(leaf,), versions=versions)
    with s_server(own_listener(), offer) as at:
        assert (await measure(at)).handshake == shown(YES, YES)


async def test_a_server_that_prefers_static_rsa_is_known_not_to_compress() -> None:
    """It signs nothing for the clients that offer compression."""
    offer = TlsOffer(
        certificates=(RSA,), versions=("1.2",), ciphers="AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256"
    )
    with s_server(own_listener(), offer, "-serverpref") as at:
        assert (await measure(at)).handshake.compression is NO


async def test_a_server_without_the_extended_master_secret_is_found() -> None:
    with nginx(
        own_listener(), OFFER, directives=("ssl_conf_command Options -ExtendedMasterSecret;",)
    ) as at:
        assert (await measure(at)).handshake == shown(NO, YES)


@pytest.mark.parametrize("is_secure", [True, False])
async def test_a_server_from_before_secure_renegotiation_is_found(is_secure: bool) -> None:
    offer = LegacyOffer(certificate=RSA, secure_renegotiation=is_secure)
    with legacy_server(own_listener(), offer) as at:
        assert (await measure(at)).handshake == shown(YES, YES if is_secure else NO)


async def test_tls_1_3_has_none_of_them() -> None:
    with s_server(own_listener(), TlsOffer(certificates=(RSA,), versions=("1.3",))) as at:
        assert (await measure(at)).handshake == HandshakeFacts()
