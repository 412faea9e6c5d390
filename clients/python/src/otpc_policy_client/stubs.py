"""The methods of the service, from the descriptor of the contract.

gRPC's generated code would refuse every grpcio older than the generator; this has no such bound.
"""

from typing import Any, Final, Protocol

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from otpc_policy_client.v1 import policy_pb2 as pb

SERVICE: Final = "otpc_policy.v1.PolicyCheckService"
"""As the contract names it; the package of the client's own messages is another."""

METHODS: Final[dict[str, MethodDescriptor]] = dict(
    pb.DESCRIPTOR.services_by_name["PolicyCheckService"].methods_by_name
)


class Calls(Protocol):
    """Something that makes calls: a channel's stub, or a fake.

    call: name of the method, its request, the seconds it may take; the response, of asyncio an
    awaitable of it. It raises grpc.RpcError. follow: an iterable of messages, with cancel.
    """

    def call(self, method: str, request: Message, timeout_s: float) -> Any: ...

    def follow(self, method: str, request: Message, timeout_s: float | None = None) -> Any: ...


class ChannelCalls:
    """Calls over a channel of grpc or of grpc.aio."""

    def __init__(self, channel: Any) -> None:
        self._callables = {
            name: _callable_of(channel, name, method) for name, method in METHODS.items()
        }

    def call(self, method: str, request: Message, timeout_s: float) -> Any:
        """Make a call."""
        return self._callables[method](request, timeout=timeout_s)

    def follow(self, method: str, request: Message, timeout_s: float | None = None) -> Any:
        """Open a stream. timeout_s: None for as long as it lasts."""
        return self._callables[method](request, timeout=timeout_s)


def class_of(method: MethodDescriptor) -> type[Message]:
    """Return the class of a method's responses."""
    return message_factory.GetMessageClass(method.output_type)


def _callable_of(channel: Any, name: str, method: MethodDescriptor) -> Any:
    make = channel.unary_stream if method.server_streaming else channel.unary_unary
    return make(
        f"/{SERVICE}/{name}",
        request_serializer=message_factory.GetMessageClass(method.input_type).SerializeToString,
        response_deserializer=class_of(method).FromString,
    )
