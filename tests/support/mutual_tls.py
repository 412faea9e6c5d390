"""What a service and its callers need for mutual TLS: files, settings and credentials."""

from collections.abc import Sequence
from pathlib import Path

import grpc
from cryptography import x509

from tests.support.callers import caller_certificate
from tests.support.certificates import CertificateAuthority

OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
"""Channel options: channels to one service share connections otherwise."""


class MutualTls:
    """Keys and authorities. settings: variables of the environment, for service_process."""

    def __init__(self, folder: Path, roles: str) -> None:
        servers = CertificateAuthority.create("Servers")
        self._root, self._callers = servers.pem, CertificateAuthority.create("Callers")
        own = servers.issue(dns=("localhost",))
        for file, content in {
            "own.pem": own.chain_pem,
            "own.key": own.key_pem,
            "callers.pem": self._callers.pem,
            "roles.toml": roles.encode(),
        }.items():
            (folder / file).touch(mode=0o600)
            (folder / file).write_bytes(content)
        self.settings = {
            "OTPC_POLICY_TLS_CERTIFICATE_FILE": str(folder / "own.pem"),
            "OTPC_POLICY_TLS_KEY_FILE": str(folder / "own.key"),
            "OTPC_POLICY_TLS_CLIENT_CA_FILE": str(folder / "callers.pem"),
            "OTPC_POLICY_ROLES_FILE": str(folder / "roles.toml"),
        }

    def credentials(self, names: Sequence[x509.GeneralName]) -> grpc.ChannelCredentials:
        """Return those of a caller with these names in its certificate."""
        issued = caller_certificate(self._callers, names)
        return grpc.ssl_channel_credentials(self._root, issued.key_pem, issued.chain_pem)
