"""Callers of the administration are identified by the client certificates they present."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509

from otpc_policy.app.settings import Settings
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from tests.end_to_end.running import Service, running_service
from tests.support.callers import caller_certificate
from tests.support.certificates import CertificateAuthority, Issued

ADMIN = "admin.callers.test"


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create("Callers")


@pytest.fixture(scope="module")
def service(
    authority: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with running_service(mutual_tls(authority, tmp_path_factory.mktemp("tls"))) as running:
        yield running


def mutual_tls(authority: CertificateAuthority, folder: Path, **settings: Any) -> Settings:
    chain, key = authority.issue(dns=("localhost",)).write(folder, "server")
    (folder / "ca.pem").write_bytes(authority.pem)
    return Settings(
        listen="127.0.0.1:0",
        ops_listen="127.0.0.1:0",
        tls_certificate_file=chain,
        tls_key_file=key,
        tls_client_ca_file=folder / "ca.pem",
        admin_service=True,
        admin_callers=[ADMIN, "spiffe://example.test/admin"],
        log_level="error",
        scan={"workers": 1},
        **settings,
    )


def channel_of(service: Service, authority: CertificateAuthority, caller: Issued) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(authority.pem, caller.key_pem, caller.chain_pem)
    return grpc.secure_channel(f"localhost:{service.address.rpartition(':')[2]}", credentials)


def reload_as(
    service: Service, authority: CertificateAuthority, caller: Issued
) -> pb.ReloadPoliciesResponse:
    with channel_of(service, authority, caller) as channel:
        stub = policy_pb2_grpc.PolicyAdminServiceStub(channel)  # type: ignore[no-untyped-call]
        answer = stub.ReloadPolicies(pb.ReloadPoliciesRequest(), timeout=20)
    assert isinstance(answer, pb.ReloadPoliciesResponse)
    return answer


def test_a_caller_whom_the_settings_name_may(
    service: Service, authority: CertificateAuthority
) -> None:
    caller = authority.issue(dns=("somebody.test", ADMIN), extended_key_usage=("client_auth",))
    assert len(reload_as(service, authority, caller).configuration_revision) == 64
    assert service.metric('otpc_policy_config_reloads_total{result="success"}') >= 1


@pytest.mark.parametrize("with_san", [True, False])
def test_another_caller_may_not_and_a_common_name_proves_nothing(
    service: Service, authority: CertificateAuthority, with_san: bool
) -> None:
    caller = authority.issue(
        dns=("router.callers.test",),
        common_name=ADMIN,
        with_san=with_san,
        extended_key_usage=("client_auth",),
    )
    with pytest.raises(grpc.RpcError) as raised:
        reload_as(service, authority, caller)
    assert raised.value.code() is (
        grpc.StatusCode.PERMISSION_DENIED if with_san else grpc.StatusCode.UNAUTHENTICATED
    )


def test_a_stranger_does_not_even_reach_the_service(
    service: Service, authority: CertificateAuthority
) -> None:
    stranger = CertificateAuthority.create("Stranger").issue(
        dns=(ADMIN,), extended_key_usage=("client_auth",)
    )
    with pytest.raises(grpc.RpcError) as raised:
        reload_as(service, authority, stranger)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


def test_an_e_mail_address_or_a_uri_is_not_the_dns_name_of_the_same_text(
    service: Service, authority: CertificateAuthority
) -> None:
    for name in (x509.RFC822Name(ADMIN), x509.UniformResourceIdentifier(ADMIN)):
        with pytest.raises(grpc.RpcError) as raised:
            reload_as(service, authority, caller_certificate(authority, [name]))
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_roles_are_denied_what_they_do_not_permit_from_one_call_to_the_next(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    roles = tmp_path / "roles.toml"
    permitted = '[[role]]\nname = "reader"\nrpcs = ["GetPolicy"]\n[[caller]]\n'
    permitted += 'identities = ["spiffe://example.test/reader"]\nroles = ["reader"]\n'
    roles.write_text(permitted)
    reader = caller_certificate(
        authority, [x509.UniformResourceIdentifier("spiffe://example.test/reader")]
    )
    admin = authority.issue(dns=(ADMIN,), extended_key_usage=("client_auth",))
    settings = mutual_tls(authority, tmp_path, roles_file=roles)
    with (
        running_service(settings) as service,
        channel_of(service, authority, reader) as channel,
    ):
        stub = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
        assert stub.GetPolicy(pb.GetPolicyRequest(), timeout=20).policy.name == "otpc-2024-12"
        with pytest.raises(grpc.RpcError) as raised:
            stub.CheckEndpoint(pb.CheckEndpointRequest(host="a.test"), timeout=20)
        assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
        roles.write_text(permitted.replace('reader"]\nroles', 'other"]\nroles'))
        assert reload_as(service, authority, admin).changed
        with pytest.raises(grpc.RpcError) as raised:
            stub.GetPolicy(pb.GetPolicyRequest(), timeout=20)
        assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
