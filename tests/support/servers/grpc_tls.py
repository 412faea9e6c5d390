"""A gRPC server with TLS: h2 only."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from tests.support.loopback import Listener
from tests.support.servers.offer import TlsOffer


@contextmanager
def grpc_server(listener: Listener, offer: TlsOffer) -> Iterator[Listener]:
    """Serve grpc.health.v1.

    Versions and suites are gRPC's own: TLS 1.2 and 1.3, with AES-256 among the suites.
    """
    pairs = [(issued.key_pem, issued.chain_pem) for issued in offer.certificates]
    with ThreadPoolExecutor(max_workers=2) as pool:
        server = grpc.server(pool)
        health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
        server.add_secure_port(str(listener), grpc.ssl_server_credentials(pairs))
        server.start()
        try:
            yield listener
        finally:
            server.stop(None).wait()
