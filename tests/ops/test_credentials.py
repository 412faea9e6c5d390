"""The service's own key pair: an unusable one is refused at start and ignored at rotation."""

import asyncio
import math
import os
import ssl
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
import structlog.testing
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from prometheus_client import CollectorRegistry

from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.audit.trail import AuditTrail
from otpc_policy.ops.credentials import RotatingCredentials, server_credentials
from otpc_policy.ops.metrics import Metrics
from tests.support import forging
from tests.support.audit_lines import KeptLines
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.signing import now


@pytest.fixture
def authority() -> CertificateAuthority:
    return CertificateAuthority.create()


def _replace(path: Path, content: bytes) -> None:
    """Replace as an orchestrator does: at once, with the same mode, and with another inode."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    os.replace(fresh, path)


def test_without_files_there_is_no_tls() -> None:
    assert server_credentials(None, None, None) is None


def test_files_at_rest_change_nothing(tmp_path: Path, authority: CertificateAuthority) -> None:
    chain, key = authority.issue().write(tmp_path, "own")
    assert RotatingCredentials(chain, key, None).changed() is None


def test_a_pair_in_the_middle_of_its_rotation_leaves_the_last_good_one(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    chain, key = authority.issue().write(tmp_path, "own")
    credentials = RotatingCredentials(chain, key, None)
    successor = authority.issue(key="ec384")
    _replace(chain, successor.chain_pem)
    assert credentials.changed() is None
    _replace(key, successor.key_pem)
    assert credentials.changed() is not None
    assert credentials.changed() is None
    key.unlink()
    assert credentials.changed() is None


def test_each_rotation_and_each_refusal_of_one_is_recorded(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    chain, key = authority.issue().write(tmp_path, "own")
    kept = KeptLines()
    trail = AuditTrail([kept])
    credentials = RotatingCredentials(chain, key, None, events=trail.event_log())
    successor = authority.issue(key="ec384")
    _replace(chain, successor.chain_pem)
    credentials.changed()
    _replace(key, successor.key_pem)
    credentials.changed()
    trail.close()
    refused, rotated = kept.lines()
    assert (refused["event"], refused["level"]) == ("tls_files_refused", "error")
    assert "is not the key of" in refused["problems"][0]
    leaf = x509.load_pem_x509_certificate(successor.chain_pem)
    assert (rotated["event"], rotated["level"]) == ("tls_files_reloaded", "info")
    assert rotated["leaf_sha256"] == leaf.fingerprint(SHA256()).hex()


def test_every_problem_of_the_files_is_named(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    chain, key = authority.issue().write(tmp_path, "own")
    _other_chain, other_key = authority.issue(key="ec384").write(tmp_path, "other")
    with pytest.raises(ConfigurationError, match="No such file"):
        RotatingCredentials(tmp_path / "missing.pem", key, None)
    with pytest.raises(ConfigurationError, match="is not the key of"):
        RotatingCredentials(chain, other_key, None)
    chain.chmod(0o600)
    with pytest.raises(ConfigurationError) as raised:
        RotatingCredentials(key, chain, key)
    assert len(raised.value.problems) == 3


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601, 0o777])
def test_a_key_that_every_user_may_read_or_change_is_refused(
    tmp_path: Path, authority: CertificateAuthority, mode: int
) -> None:
    chain, key = authority.issue().write(tmp_path, "own")
    key.chmod(mode)
    with pytest.raises(ConfigurationError) as raised:
        RotatingCredentials(chain, key, None)
    (problem,) = raised.value.problems
    assert problem.startswith(f"{key}: every user may read or change this private key (mode 0")
    key.chmod(0o600)
    assert RotatingCredentials(chain, key, None).changed() is None


def test_a_key_that_a_group_may_read_is_used_and_reported(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    chain, key = authority.issue().write(tmp_path, "own")
    key.chmod(0o440)
    with structlog.testing.capture_logs() as lines:
        RotatingCredentials(chain, key, None)
    assert [(line["event"], line["mode"]) for line in lines] == [
        ("secret_file_open_to_group", "0440")
    ]


def test_a_mode_that_is_corrected_is_noticed(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    chain, key = authority.issue().write(tmp_path, "own")
    metrics = Metrics(CollectorRegistry(), finding_codes=(), rpc_methods=())
    credentials = RotatingCredentials(chain, key, None, metrics)
    key.chmod(0o644)
    assert credentials.changed() is None
    key.chmod(0o600)
    assert credentials.changed() is not None


def test_metrics_say_when_the_files_in_use_end_and_whether_those_on_disk_are_good(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    def written(name: str, *days: int) -> bytes:
        ends = [now() + timedelta(days=each) for each in days]
        return b"".join(CertificateAuthority.create(name, not_after=end).pem for end in ends)

    def ends_in_days(file: str) -> float:
        at = registry.get_sample_value("otpc_policy_tls_expiry_timestamp_seconds", {"file": file})
        assert at is not None
        return round((at - now().timestamp()) / 86400)

    def reloads(result: str) -> float | None:
        return registry.get_sample_value("otpc_policy_tls_reloads_total", {"result": result})

    leaf = authority.issue(not_after=now() + timedelta(days=30))
    chain, key = leaf.write(tmp_path, "own")
    callers = tmp_path / "callers.pem"
    callers.write_bytes(written("Callers", 300, 20, 100))
    registry = CollectorRegistry()
    metrics = Metrics(registry, finding_codes=(), rpc_methods=())
    credentials = RotatingCredentials(chain, key, callers, metrics)
    assert (ends_in_days("certificate"), ends_in_days("client_ca")) == (30, 20)
    assert (reloads("success"), reloads("failure")) == (0, 0)

    _replace(callers, b"not a certificate")
    assert credentials.changed() is None
    assert (reloads("success"), reloads("failure")) == (0, 1)
    assert registry.get_sample_value("otpc_policy_tls_last_reload_successful") == 0
    assert (ends_in_days("certificate"), ends_in_days("client_ca")) == (30, 20)

    _replace(callers, written("Callers", 300))
    successor = authority.issue(not_after=now() + timedelta(days=60))
    _replace(chain, successor.chain_pem)
    _replace(key, successor.key_pem)
    assert credentials.changed() is not None
    assert (reloads("success"), reloads("failure")) == (1, 1)
    assert registry.get_sample_value("otpc_policy_tls_last_reload_successful") == 1
    assert (ends_in_days("certificate"), ends_in_days("client_ca")) == (60, 300)


def test_without_client_cas_nothing_of_them_ends(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, finding_codes=(), rpc_methods=())
    RotatingCredentials(*authority.issue().write(tmp_path, "own"), None, metrics)
    name, labels = "otpc_policy_tls_expiry_timestamp_seconds", {"file": "client_ca"}
    assert registry.get_sample_value(name, labels) == math.inf


def test_a_certificate_of_a_version_that_does_not_exist_is_named(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    chain, key = authority.issue().write(tmp_path, "own")

    def edit(elements: list[bytes]) -> None:
        elements[forging.VERSION] = bytes.fromhex("a00302017f")

    odd = tmp_path / "odd.pem"
    odd.write_text(ssl.DER_cert_to_PEM_cert(forging.leaf(None, edit=edit).der))
    for certificate_file, client_ca_file in ((odd, None), (chain, odd)):
        with pytest.raises(ConfigurationError) as raised:
            RotatingCredentials(certificate_file, key, client_ca_file)
        assert raised.value.problems == (f"{odd}: holds no readable certificate (PEM)",)


async def _serve(credentials: grpc.ServerCredentials) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    return server, port


def _unchanged(message: bytes) -> bytes:
    return message


async def _is_answered(port: int, root: bytes, client: Issued | None = None) -> bool:
    """Tell whether a new connection gets through TLS: a method that does not exist is then
    UNIMPLEMENTED.
    """
    channel_credentials = grpc.ssl_channel_credentials(
        root, client.key_pem if client else None, client.chain_pem if client else None
    )
    options = (
        ("grpc.ssl_target_name_override", "partner.test"),
        ("grpc.use_local_subchannel_pool", 1),
    )
    async with grpc.aio.secure_channel(
        f"127.0.0.1:{port}", channel_credentials, options=options
    ) as channel:
        try:
            await channel.unary_unary("/no.Such/Method", _unchanged, _unchanged)(b"", timeout=5)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNIMPLEMENTED
    return False


async def test_new_connections_get_the_rotated_pair(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    chain, key = authority.issue().write(tmp_path, "own")
    server, port = await _serve(RotatingCredentials(chain, key, None).server_credentials())
    try:
        assert await _is_answered(port, authority.pem)
        other = CertificateAuthority.create("Next Root")
        successor = other.issue()
        await asyncio.to_thread(_replace, chain, successor.chain_pem)
        assert await _is_answered(port, authority.pem)
        await asyncio.to_thread(_replace, key, successor.key_pem)
        assert await _is_answered(port, other.pem)
        assert not await _is_answered(port, authority.pem)
    finally:
        await server.stop(None)


async def test_callers_prove_a_certificate_where_a_client_ca_is_set(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    chain, key = authority.issue().write(tmp_path, "own")
    callers = CertificateAuthority.create("Callers")
    (tmp_path / "callers.pem").write_bytes(callers.pem)
    server, port = await _serve(
        RotatingCredentials(chain, key, tmp_path / "callers.pem").server_credentials()
    )
    try:
        assert await _is_answered(
            port,
            authority.pem,
            callers.issue(dns=("router.test",), extended_key_usage=("client_auth",)),
        )
        assert not await _is_answered(port, authority.pem)
        assert not await _is_answered(
            port, authority.pem, authority.issue(extended_key_usage=("client_auth",))
        )
    finally:
        await server.stop(None)
