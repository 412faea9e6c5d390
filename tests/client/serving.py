"""A gRPC server around an object that a test scripts: a method of it for each RPC."""

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import message_factory

from otpc_policy_client.stubs import METHODS, SERVICE


@contextmanager
def service(servicer: Any, credentials: grpc.ServerCredentials | None = None) -> Iterator[int]:
    """Serve on loopback while the context lasts; yield the port."""
    handlers = {
        name: (
            grpc.unary_stream_rpc_method_handler
            if method.server_streaming
            else grpc.unary_unary_rpc_method_handler
        )(
            getattr(servicer, name),
            request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
            response_serializer=message_factory.GetMessageClass(
                method.output_type
            ).SerializeToString,
        )
        for name, method in METHODS.items()
        if hasattr(servicer, name)
    }
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
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
