"""A response with the one question that a router has of it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from otpc_policy_client.clock import elapsed_s
from otpc_policy_client.judged import permits_traffic
from otpc_policy_client.v1 import policy_pb2 as pb

_IN_PROGRESS = "CHECK_IN_PROGRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the service says of an endpoint, for as long as it says so.

    response: as the contract has it. good_until_s: an instant of clock.elapsed_s. By the service's
    own clock the response expires at that instant or later, so a wall clock of this machine that is
    wrong, or is set back, does not prolong it. perspective: the place that was asked for; an answer
    from another place permits nothing.
    """

    response: pb.CheckEndpointResponse
    good_until_s: float
    perspective: str = ""

    @property
    def permits_traffic(self) -> bool:
        """Whether traffic is permitted now.

        True for a valid ALLOW alone, over a connection that is as judged. What the rules of a
        report-only policy deny is not permitted; permits says how to permit it.
        """
        return self.permits(now=datetime.now(UTC), elapsed=elapsed_s())

    def permits(
        self, *, now: datetime, elapsed: float, dangerously_permit_report_only: bool = False
    ) -> bool:
        """Whether traffic is permitted at an instant of the wall clock and of elapsed_s.

        dangerously_permit_report_only: as of otpc_policy_client.permits_traffic.
        """
        return elapsed < self.good_until_s and permits_traffic(
            self.response,
            now=now,
            perspective=self.perspective,
            dangerously_permit_report_only=dangerously_permit_report_only,
        )

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of the findings, each once, in their order."""
        return tuple(dict.fromkeys(each.code for each in self.response.findings))


def verdict_of(
    response: pb.CheckEndpointResponse, *, asked_at_s: float, perspective: str = ""
) -> Verdict:
    """Return the verdict in a response. asked_at_s: when it was asked for, by elapsed_s.

    perspective: that was asked for.

    The service judges after it was asked, so that what it gives for a lifetime, counted from the
    question on, ends before the response expires. A response without both times has none.
    """
    info = response.result_info
    lifetime_s = -1.0
    if info.HasField("expire_time") and info.HasField("evaluation_time"):
        expires, evaluated = info.expire_time, info.evaluation_time
        lifetime_s = expires.seconds - evaluated.seconds + (expires.nanos - evaluated.nanos) / 1e9
    return Verdict(response=response, good_until_s=asked_at_s + lifetime_s, perspective=perspective)


def is_in_progress(response: pb.CheckEndpointResponse) -> bool:
    """Whether a measurement goes on and will give another answer."""
    return (
        response.decision == pb.DECISION_INDETERMINATE
        and response.HasField("retry_after")
        and any(each.code == _IN_PROGRESS for each in response.findings)
    )
