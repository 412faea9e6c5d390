"""A gRPC server around a servicer that a test scripts."""

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc

from otpc_policy.v1 import policy_pb2_grpc


@contextmanager
def service(
    servicer: policy_pb2_grpc.PolicyCheckServiceServicer,
    credentials: grpc.ServerCredentials | None = None,
) -> Iterator[int]:
    """Serve on loopback while the context lasts; yield the port."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    policy_pb2_grpc.add_PolicyCheckServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = (
        server.add_insecure_port("127.0.0.1:0")
        if credentials is None
        else server.add_secure_port("127.0.0.1:0", credentials)
    )
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()
