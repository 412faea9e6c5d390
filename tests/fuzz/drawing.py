"""Draws calls: a method, a body that may be anything, and metadata.

Nothing drawn can lead away from loopback: a host is an address in 127.0.0.0/8, an address that the
service must not dial, a name under .test, or no host at all. Bytes are changed only in messages
whose host is such a name, which no change of a few bytes makes an address.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from otpc_policy.pki.roots import mozilla_roots
from otpc_policy.rpc.interceptors.request_size import MAX_RECEIVED_BYTES, MAX_REQUEST_BYTES
from otpc_policy.v1 import policy_pb2 as pb

_CHECK: Final = "/otpc_policy.v1.PolicyCheckService/"
_ADMIN: Final = "/otpc_policy.v1.PolicyAdminService/"
WATCH: Final = "/grpc.health.v1.Health/Watch"
CHANGES: Final = f"{_CHECK}WatchVerdicts"
REFLECTION: Final = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
CHECK: Final = f"{_CHECK}CheckEndpoint"
BATCH: Final = f"{_CHECK}BatchCheckEndpoints"
VALIDATE: Final = f"{_CHECK}ValidateCertificate"
METHODS: Final[dict[str, type[Message]]] = {
    CHECK: pb.CheckEndpointRequest,
    BATCH: pb.BatchCheckEndpointsRequest,
    VALIDATE: pb.ValidateCertificateRequest,
    f"{_CHECK}GetPolicy": pb.GetPolicyRequest,
    f"{_CHECK}ListPolicies": pb.ListPoliciesRequest,
    f"{_CHECK}ListWatched": pb.ListWatchedRequest,
    CHANGES: pb.WatchVerdictsRequest,
    f"{_ADMIN}InvalidateResults": pb.InvalidateResultsRequest,
    f"{_ADMIN}ReloadPolicies": pb.ReloadPoliciesRequest,
    "/grpc.health.v1.Health/Check": health_pb2.HealthCheckRequest,
    WATCH: health_pb2.HealthCheckRequest,
    REFLECTION: reflection_pb2.ServerReflectionRequest,
}
_UNKNOWN: Final = (
    f"{_CHECK}checkendpoint",
    f"{_CHECK}CheckEndpoint/",
    "/otpc_policy.v1.Nothing/CheckEndpoint",
    "/a/b/c",
    "/",
    "/x",
    "//",
    "/" + "x" * 2000 + "/y",
    "/otpc_policy.measurement.v1.MeasurementService/Measure",
)
_HOSTS: Final = (
    *("a.test", "b.test", "A.TEST.", "*.test", "xn--a.test", "127.0.0.1", "127.0.0.2", "10.0.0.1"),
    *("169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%lo", "0.0.0.0", "", ".", "-", "a..b"),
    *("a" * 64 + ".test", "a." * 126 + "test", "a b.test", "\0.test", "\u202e.test", "ß.test"),
)
_TEXTS: Final = (
    *("", "otpc-2024-12", "pci-dss-4.0.1", "../../etc/passwd", "x" * 5000, "\0", "\u2028", "🙈"),
    *("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "%s%n", '{"a":'),
)
_POLICIES: Final = ("", "otpc-2024-12", "pci-dss-4.0.1", "mozilla-modern", "nobody-wrote-this")
_NUMBERS: Final = (0, 1, -1, 2, 25, 443, 8443, 65535, 65536, 2**31 - 1, -(2**31))
# A batch has at most 100 items.
_COUNTS: Final = (*(0, 1, 2, 5) * 12, 101)
_LONG_NUMBERS: Final = (*_NUMBERS, 2**63 - 1, -(2**63), 315_576_000_000, 253_402_300_800)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnCall:
    """A call. path: of the method, "/service/method"."""

    path: str
    body: bytes
    metadata: tuple[tuple[str, str | bytes], ...]

    @property
    def is_never_read(self) -> bool:
        """Whether gRPC itself refuses the body, without details and before any handler."""
        return len(self.body) > MAX_RECEIVED_BYTES


def draw_call(choice: random.Random) -> DrawnCall:
    """Return a call; the same for the same state of choice."""
    if choice.random() < 0.08:
        path, body = choice.choice(_UNKNOWN), choice.randbytes(choice.randrange(64))
    else:
        path = choice.choice(tuple(METHODS))
        is_valid = path in (CHECK, BATCH, VALIDATE) and choice.random() < 0.25
        body = _valid(choice, path) if is_valid else _body(choice, METHODS[path])
    return DrawnCall(path=path, body=body, metadata=_metadata(choice))


def _body(choice: random.Random, kind: type[Message]) -> bytes:
    how = choice.random()
    if how < 0.15:
        return choice.randbytes(choice.randrange(200))
    message = kind()
    if how < 0.45:
        _fill(choice, message, hosts=("a.test",))
        return _changed(choice, message.SerializeToString())
    if how < 0.453:
        excess = choice.choice((MAX_REQUEST_BYTES, MAX_RECEIVED_BYTES)) + choice.randrange(1, 9)
        # A field that no message here has, so that only the length is wrong.
        return b"\xfa\x3f" + _varint(excess) + bytes(excess)
    if how < 0.75:
        # Nearly right, so that what is behind the parsing is reached.
        _fill(choice, message, hosts=("a.test", "b.test"), ports=(443,), set_part=0.15)
    else:
        _fill(choice, message, hosts=_HOSTS)
    return message.SerializeToString()


def _valid(choice: random.Random, path: str) -> bytes:
    """Return a request of one of the three methods that judge, all of whose values are possible."""
    if path == VALIDATE:
        chain = choice.sample(mozilla_roots(), choice.randint(1, 3))
        return pb.ValidateCertificateRequest(
            der_chain=pb.DerChain(certificates=chain),
            policy=choice.choice(_POLICIES),
            server_name=choice.choice(("", "a.test", "127.0.0.1", "xn--bcher-kva.test")),
            trust_anchors=choice.sample(mozilla_roots(), choice.choice((0, 0, 1, 3))),
            view=choice.choice(pb.View.values()),
        ).SerializeToString()
    questions = [
        pb.CheckEndpointRequest(
            host=choice.choice(("a.test", "b.test", "127.0.0.2")),
            port=choice.choice((0, 443, 8443)),
            policy=choice.choice(_POLICIES),
            server_name=choice.choice(("", "", "a.test", "c.test")),
            freshness=pb.Freshness(mode=choice.choice(pb.FreshnessMode.values())),
            view=choice.choice(pb.View.values()),
            depth=choice.choice(pb.ScanDepth.values()),
            observed_leaf_sha256=choice.randbytes(choice.choice((0, 32))),
        )
        for _ in range(choice.choice((1, 2, 5)))
    ]
    if path == BATCH:
        return pb.BatchCheckEndpointsRequest(requests=questions).SerializeToString()
    return questions[0].SerializeToString()


def _varint(number: int) -> bytes:
    coded = bytearray()
    while number > 127:
        coded.append(number & 127 | 128)
        number >>= 7
    return bytes((*coded, number))


def _changed(choice: random.Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(choice.randint(1, 3)):
        place = choice.randrange(len(changed) + 1)
        kind = choice.randrange(4)
        if kind == 0 and changed:
            changed[place % len(changed)] = choice.randrange(256)
        elif kind == 1:
            del changed[place:]
        elif kind == 2:
            changed[place:place] = choice.randbytes(choice.randint(1, 4))
        else:
            changed += changed[place:]
    return bytes(changed)


def _fill(
    choice: random.Random,
    message: Message,
    *,
    hosts: Sequence[str],
    ports: Sequence[int] = _NUMBERS,
    set_part: float = 0.4,
    depth: int = 0,
) -> None:
    """Set fields of a message. set_part: how many of those that are neither host nor port."""
    for field in message.DESCRIPTOR.fields:
        is_target = field.name in ("host", "port", "requests")
        if depth > 4 or choice.random() > (0.9 if is_target else set_part):
            continue
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for child in _children(choice, message, field):
                _fill(choice, child, hosts=hosts, ports=ports, set_part=set_part, depth=depth + 1)
        elif field.is_repeated:
            values = (_value(choice, field, hosts, ports) for _ in range(choice.choice(_COUNTS)))
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, _value(choice, field, hosts, ports))


def _children(choice: random.Random, message: Message, field: Any) -> Sequence[Message]:
    child = getattr(message, field.name)
    if field.is_repeated:
        return [child.add() for _ in range(choice.choice(_COUNTS))]
    child.SetInParent()
    return [child]


def _value(choice: random.Random, field: Any, hosts: Sequence[str], ports: Sequence[int]) -> Any:
    if field.name in ("host", "server_name"):
        return choice.choice(hosts)
    if field.name == "port":
        return choice.choice(ports)
    draw: dict[int, Callable[[], Any]] = {
        FieldDescriptor.TYPE_STRING: lambda: choice.choice(_TEXTS),
        FieldDescriptor.TYPE_BYTES: lambda: choice.randbytes(
            choice.choice((0, 1, 31, 32, 33, 999))
        ),
        FieldDescriptor.TYPE_BOOL: lambda: choice.random() < 0.5,
        FieldDescriptor.TYPE_ENUM: lambda: choice.choice((0, 1, 2, 3, 99, -1)),
        FieldDescriptor.TYPE_INT64: lambda: choice.choice(_LONG_NUMBERS),
        FieldDescriptor.TYPE_INT32: lambda: choice.choice(_NUMBERS),
    }
    if field.type not in draw:
        raise NotImplementedError(f"draw values for {field.full_name}")
    return draw[field.type]()


def _metadata(choice: random.Random) -> tuple[tuple[str, str | bytes], ...]:
    drawn: list[tuple[str, str | bytes]] = []
    for _ in range(choice.choice((0, 0, 1, 2, 6))):
        key = choice.choice(("x-request-id", "traceparent", "tracestate", "x", "x-bin", "user.id"))
        if key.endswith("-bin"):
            drawn.append((key, choice.randbytes(choice.randrange(60))))
        else:
            text = choice.choice(
                (
                    *("", "a", "00-" + "0" * 32 + "-" + "0" * 16 + "-00", "00-zz", "x" * 800),
                    "".join(chr(choice.randrange(0x20, 0x7F)) for _ in range(40)).strip(),
                )
            )
            drawn.append((key, text))
    return tuple(drawn)
