"""The names of the contract's methods on the wire, and the domain of its errors."""

from typing import Final

from otpc_policy.measurement.v1 import measurement_pb2 as pb

SERVICE: Final[str] = pb.DESCRIPTOR.services_by_name["MeasurementService"].full_name
RESOLVE: Final = f"/{SERVICE}/Resolve"
MEASURE: Final = f"/{SERVICE}/Measure"
FETCH_CRL: Final = f"/{SERVICE}/FetchCrl"
WATCH_STATUS: Final = f"/{SERVICE}/WatchStatus"

ERROR_DOMAIN: Final = "otpc-policy"
# The trailer in which google.rpc.Status travels (grpc/grpc, "A6: client retries", rich errors).
DETAILS_KEY: Final = "grpc-status-details-bin"
# google.rpc.ErrorInfo.reason of RESOURCE_EXHAUSTED: the queue is full. gRPC gives the same status
# by itself to a message that is too long.
OVERLOADED: Final = "OVERLOADED"
# The same of INTERNAL: the engine's machine lacks what it takes to connect (descriptors, ports,
# memory, permission). Another engine on it would be no better.
CANNOT_DIAL: Final = "CANNOT_DIAL"
# The same where it is the engine's HTTP proxy that lets nothing out.
EGRESS_UNAVAILABLE: Final = "EGRESS_UNAVAILABLE"
# The same of FAILED_PRECONDITION: the engine may not dial the address, by its own guard or because
# it listens there itself.
ADDRESS_FORBIDDEN: Final = "ADDRESS_FORBIDDEN"

# How often an engine reports its state while it measures; at rest, when nothing changes, a report
# costs more than it says.
HEARTBEAT_S: Final = 1.0
HEARTBEAT_AT_REST_S: Final = 5.0
