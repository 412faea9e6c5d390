"""A real gRPC server on a free port of loopback, in this process, that rules answer."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any, Final

import grpc
from google.protobuf import message_factory
from google.protobuf.message import Message

from otpc_policy_client.answer_cache import Endpoint, endpoint_of
from otpc_policy_client.errors import CallError, ErrorDetails
from otpc_policy_client.stubs import METHODS, SERVICE
from otpc_policy_client.testing.error_status import TRAILER, status_of
from otpc_policy_client.testing.rules import Rules, batch
from otpc_policy_client.v1 import policy_pb2 as pb

_WORKERS: Final = 16
_LOOK_S: Final = 0.05
# Of one message.
_MAX_CHANGES: Final = 256


class PolicyServer:
    """What a test does with a server that runs. rules: what it answers; target: where it is."""

    def __init__(self, rules: Rules, *, reports_changes: bool) -> None:
        self.rules = rules
        self.target = ""
        self._reports_changes = reports_changes
        self._changed = threading.Condition()
        self._changes: list[pb.VerdictChange] = []
        self._forgotten = 0
        self._generation = 0
        self._watched: dict[Endpoint, pb.WatchedEndpoint] = {}

    def watch(self, host: str, decision: pb.Decision.ValueType, *, port: int = 443) -> None:
        """Have an endpoint with a decision in the list of what is watched."""
        found = pb.WatchedEndpoint(host=host, port=port, decision=decision)
        with self._changed:
            self._watched[endpoint_of(host, port)] = found

    def publish(self, host: str, decision: pb.Decision.ValueType, *, port: int = 443) -> None:
        """Report that an endpoint has another decision."""
        self.watch(host, decision, port=port)
        with self._changed:
            self._changes.append(pb.VerdictChange(host=host, port=port, decision=decision))
            self._changed.notify_all()

    def end_streams(self, *, forget: bool = False) -> None:
        """End every stream with OK. forget: no cursor that was given so far is known any more."""
        with self._changed:
            self._generation += 1
            if forget:
                self._changes.append(pb.VerdictChange())
                self._forgotten = len(self._changes)
            self._changed.notify_all()

    def check_endpoint(self, request: Any, _context: grpc.ServicerContext) -> Message:
        """Answer by the rules."""
        return self.rules.answer(request)

    def batch_check_endpoints(self, request: Any, _context: grpc.ServicerContext) -> Message:
        """Answer each item by the rules."""
        return batch(self.rules, request)

    def list_watched(self, _request: Any, _context: grpc.ServicerContext) -> Message:
        """List what watch and publish have named."""
        with self._changed:
            cursor = str(len(self._changes)) if self._reports_changes else ""
            return pb.ListWatchedResponse(endpoints=self._watched.values(), cursor=cursor)

    def watch_verdicts(self, request: Any, context: grpc.ServicerContext) -> Iterator[Message]:
        """Report changes after the cursor; without one, from now on."""
        if not self._reports_changes:
            raise CallError(grpc.StatusCode.UNIMPLEMENTED, "this server reports no changes")
        with self._changed:
            generation = self._generation
            position = int(request.cursor) if request.cursor else len(self._changes)
            if position < self._forgotten:
                details = ErrorDetails(reason="CURSOR_TOO_OLD")
                raise CallError(grpc.StatusCode.OUT_OF_RANGE, "list again", details)
        yield pb.WatchVerdictsResponse(checkpoint=pb.Checkpoint(), cursor=str(position))
        while context.is_active():
            with self._changed:
                if position == len(self._changes) and generation == self._generation:
                    self._changed.wait(_LOOK_S)
                if generation != self._generation:
                    return
                fresh = self._changes[position:]
                position = len(self._changes)
            for start in range(0, len(fresh), _MAX_CHANGES):
                changes = fresh[start : start + _MAX_CHANGES]
                yield pb.WatchVerdictsResponse(
                    changes=pb.VerdictChanges(changes=changes),
                    cursor=str(position - len(fresh) + start + len(changes)),
                )


@contextmanager
def serve(
    rules: Rules | None = None,
    *,
    credentials: grpc.ServerCredentials | None = None,
    reports_changes: bool = True,
) -> Iterator[PolicyServer]:
    """Serve while the context lasts. credentials: None for plain text, which loopback may have.

    reports_changes: False for a service that is older than WatchVerdicts.
    """
    policy_server = PolicyServer(rules or Rules(), reports_changes=reports_changes)
    server = grpc.server(futures.ThreadPoolExecutor(_WORKERS))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                SERVICE,
                {
                    "CheckEndpoint": _unary("CheckEndpoint", policy_server.check_endpoint),
                    "BatchCheckEndpoints": _unary(
                        "BatchCheckEndpoints", policy_server.batch_check_endpoints
                    ),
                    "ListWatched": _unary("ListWatched", policy_server.list_watched),
                    "WatchVerdicts": _streaming("WatchVerdicts", policy_server.watch_verdicts),
                },
            ),
        )
    )
    port = (
        server.add_insecure_port("127.0.0.1:0")
        if credentials is None
        else server.add_secure_port("127.0.0.1:0", credentials)
    )
    policy_server.target = f"127.0.0.1:{port}"
    server.start()
    try:
        yield policy_server
    finally:
        policy_server.end_streams()
        server.stop(None).wait()


def _unary(name: str, answer: Callable[[Any, grpc.ServicerContext], Message]) -> Any:
    def handler(request: Any, context: grpc.ServicerContext) -> Message | None:
        try:
            return answer(request, context)
        except CallError as error:
            _abort(context, error)
            return None

    return grpc.unary_unary_rpc_method_handler(handler, **_codec(name))


def _streaming(name: str, answer: Callable[[Any, grpc.ServicerContext], Iterator[Message]]) -> Any:
    def handler(request: Any, context: grpc.ServicerContext) -> Iterator[Message]:
        try:
            yield from answer(request, context)
        except CallError as error:
            _abort(context, error)

    return grpc.unary_stream_rpc_method_handler(handler, **_codec(name))


def _abort(context: grpc.ServicerContext, error: CallError) -> None:
    context.set_trailing_metadata(((TRAILER, status_of(error).SerializeToString()),))
    context.set_code(error.status)
    context.set_details(error.text)


def _codec(name: str) -> dict[str, Any]:
    method = METHODS[name]
    return {
        "request_deserializer": message_factory.GetMessageClass(method.input_type).FromString,
        "response_serializer": message_factory.GetMessageClass(
            method.output_type
        ).SerializeToString,
    }
