"""Client certificates: for whom, from which files, and what is seen behind mutual TLS with one."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from otpc_policy.core.endpoint import Endpoint, parse_endpoint
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.core.facts import ClientAuth, Depth, HttpService, Support, Vulnerability
from otpc_policy.engine.client_certificates import (
    ClientCertificateFiles,
    ClientCertificates,
    ClientCredentials,
)
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.scanner import SslyzeScanner
from otpc_policy.engine.workers.deep_messages import decode_task, encode_task
from tests.engine.workers.test_deep_messages import TASK
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.loopback import Listener, own_listener, vetted
from tests.support.servers.libraries import s_server
from tests.support.servers.nginx import nginx
from tests.support.servers.offer import TlsOffer
from tests.support.servers.proxies import haproxy

HOST = "partner.test"
PARTNERS = CertificateAuthority.create("Partners")
CLIENTS = CertificateAuthority.create("Clients")


@pytest.fixture(scope="module")
def leaf() -> Issued:
    return PARTNERS.issue(dns=(HOST,))


def client(key: str = "ec256", authority: CertificateAuthority = CLIENTS) -> Issued:
    return authority.issue(key=key, dns=("router.test",), extended_key_usage=("client_auth",))


def files(folder: Path, issued: Issued, *hosts: str, partner: str = "p") -> ClientCertificateFiles:
    certificate, key = issued.write(folder, partner)
    return ClientCertificateFiles(
        partner=partner, hosts=hosts or (HOST,), certificate_file=certificate, key_file=key
    )


def about(host: str, server_name: str = "") -> Endpoint:
    return parse_endpoint(host, 443, server_name)


@pytest.mark.parametrize(
    ("host", "server_name", "is_presented"),
    [
        ("api.acme.test", "", True),
        ("one.pay.acme.test", "", True),
        ("192.0.2.1", "", False),
        ("api.acme.test", "one.pay.acme.test", True),
        # Whoever asks decides what is measured, but not who is shown a certificate.
        ("192.0.2.1", "api.acme.test", False),
        ("evil.test", "api.acme.test", False),
        ("api.acme.test", "evil.test", False),
        ("other.acme.test", "", False),
        ("two.one.pay.acme.test", "", False),
        ("pay.acme.test", "", False),
        ("api.acme.test.evil.test", "", False),
        ("api.other.test", "", False),
        ("api.acme.test", "api.other.test", False),
    ],
)
def test_a_certificate_is_for_the_hosts_of_its_partner_and_for_nobody_else(
    tmp_path: Path, host: str, server_name: str, is_presented: bool
) -> None:
    mine = files(tmp_path, client(), "api.acme.test", "*.pay.acme.test", partner="acme")
    other = files(tmp_path, client(), "api.third.test", partner="third")
    found = ClientCertificates([mine, other]).for_endpoint(about(host, server_name))
    assert (found is not None) is is_presented
    if found is not None:
        assert found.key_pem == mine.key_file.read_text(encoding="ascii")
        assert "PRIVATE KEY" not in repr(found)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda one: one.key_file.unlink(), "No such file"),
        (lambda one: one.key_file.write_text("-----BEGIN"), "cannot be used"),
        (lambda one: one.key_file.chmod(0o604), "chmod 600"),
        (lambda one: one.key_file.chmod(0o602), "chmod 600"),
        (lambda one: one.key_file.write_bytes(client().key_pem), "mismatch"),
        (lambda one: one.certificate_file.write_bytes(b"\xff"), "not PEM"),
        (lambda one: one.certificate_file.write_bytes(b"x" * 300_000), "too long"),
    ],
)
def test_what_cannot_be_used_is_said_at_the_start(
    tmp_path: Path, spoil: Callable[[ClientCertificateFiles], object], word: str
) -> None:
    one = files(tmp_path, client())
    spoil(one)
    with pytest.raises(ConfigurationError) as raised:
        ClientCertificates([one])
    (problem,) = raised.value.problems
    assert problem.startswith("client_certificates.p: ")
    assert word in problem


def test_a_key_that_a_group_may_read_is_warned_about(tmp_path: Path) -> None:
    one = files(tmp_path, client())
    one.key_file.chmod(0o640)
    with structlog.testing.capture_logs() as lines:
        ClientCertificates([one])
    assert [(line["log_level"], line["event"], line["file"]) for line in lines] == [
        ("warning", "secret_file_open_to_group", str(one.key_file))
    ]


def test_rotated_files_are_read_and_unusable_ones_replace_nothing(tmp_path: Path) -> None:
    first, second = client(), client()
    certificates = ClientCertificates([files(tmp_path, first)])

    def chain() -> str:
        found = certificates.for_endpoint(about(HOST))
        assert found is not None
        return found.chain_pem

    assert chain() == first.chain_pem.decode()
    (tmp_path / "p.pem").write_bytes(second.chain_pem)
    assert chain() == first.chain_pem.decode()
    replacement = tmp_path / "new"
    replacement.write_bytes(second.key_pem)
    replacement.chmod(0o600)
    replacement.rename(tmp_path / "p.key")
    assert chain() == second.chain_pem.decode()
    (tmp_path / "p.key").unlink()
    assert chain() == second.chain_pem.decode()


def test_the_process_of_a_deep_scan_is_sent_the_certificate_and_no_path() -> None:
    credentials = ClientCredentials("chain", "key")
    assert decode_task(encode_task(replace(TASK, credentials=credentials))).credentials == (
        credentials
    )
    assert decode_task(encode_task(TASK)).credentials is None


@asynccontextmanager
async def scanner(*known: ClientCertificateFiles) -> AsyncIterator[SslyzeScanner]:
    one = SslyzeScanner(
        limits=ScanLimits(workers=1),
        now=lambda: datetime.now(UTC),
        certificates=ClientCertificates(known),
    )
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


def at_partner(at: Listener) -> Endpoint:
    return parse_endpoint(HOST, at.port)


def demanding(leaf: Issued, kind: str) -> AbstractContextManager[Listener]:
    offer = TlsOffer(certificates=(leaf,), client_ca=CLIENTS.pem)
    if kind == "nginx":
        return nginx(own_listener(), offer)
    if kind == "haproxy":
        return haproxy(own_listener(), offer)
    return s_server(own_listener(), offer)


# nginx completes the handshake without a certificate and says over HTTP that it wants one.
KINDS = {
    "openssl": (ClientAuth.REQUIRED, HttpService.NOT_OBSERVABLE),
    "haproxy": (ClientAuth.REQUIRED, HttpService.NOT_OBSERVABLE),
    "nginx": (ClientAuth.REQUESTED, HttpService.SERVED),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_http_is_seen_behind_mutual_tls_and_that_it_is_demanded_stays_proven(
    leaf: Issued, tmp_path: Path, kind: str
) -> None:
    client_auth, without = KINDS[kind]
    with demanding(leaf, kind) as at:
        async with scanner() as one:
            facts = await one.measure(at_partner(at), vetted(at.address), Depth.STANDARD)
        assert (facts.client_auth, facts.http) == (client_auth, without)
        async with scanner(files(tmp_path, client())) as one:
            facts = await one.measure(at_partner(at), vetted(at.address), Depth.STANDARD)
        assert (facts.client_auth, facts.http) == (client_auth, HttpService.SERVED)
        assert facts.remarks == ()
        shown = [step for step in facts.trace if "our client certificate" in step.offered]
        assert len(shown) == (1 if client_auth is ClientAuth.REQUIRED else 0)


async def test_a_certificate_that_is_not_accepted_proves_nothing(
    leaf: Issued, tmp_path: Path
) -> None:
    stranger = client(authority=CertificateAuthority.create("Strangers"))
    with demanding(leaf, "openssl") as at:
        async with scanner(files(tmp_path, stranger)) as one:
            facts = await one.measure(at_partner(at), vetted(at.address), Depth.STANDARD)
    assert (facts.client_auth, facts.http) == (ClientAuth.REQUIRED, HttpService.NOT_OBSERVABLE)
    (remark,) = facts.remarks
    assert "may not accept that certificate" in remark


@pytest.mark.parametrize("key", ["ec256", "rsa2048"])
async def test_a_deep_scan_completes_handshakes_behind_mutual_tls(
    leaf: Issued, tmp_path: Path, key: str
) -> None:
    found = {}
    with demanding(leaf, "openssl") as at:
        for presents in (False, True):
            known = [files(tmp_path, client(key))] if presents else []
            async with scanner(*known) as one:
                found[presents] = await one.measure(at_partner(at), vetted(at.address), Depth.DEEP)
    without, with_one = (found[presents].deep for presents in (False, True))
    assert without is not None
    assert with_one is not None
    assert without.client_renegotiation is Support.UNKNOWN
    assert with_one.client_renegotiation is not Support.UNKNOWN
    assert found[True].http is HttpService.SERVED
    proven = {
        fact.vulnerability
        for fact in found[True].vulnerabilities
        if fact.present is not Support.UNKNOWN
    }
    assert Vulnerability.INSECURE_RENEGOTIATION in proven
    assert not [fd for fd in os.listdir("/proc/self/fd") if "certificate" in _target(fd)]


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""
