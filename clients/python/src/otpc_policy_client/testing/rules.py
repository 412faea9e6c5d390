"""Which endpoint gets which answer. Threads may share rules."""

import threading
from typing import Final

from otpc_policy_client.answer_cache import Endpoint, endpoint_of
from otpc_policy_client.errors import CallError
from otpc_policy_client.requests import own
from otpc_policy_client.testing.answers import NO_RULE, Answer, indeterminate
from otpc_policy_client.testing.error_status import status_of
from otpc_policy_client.v1 import policy_pb2 as pb

_WITHOUT_RULE: Final = indeterminate(NO_RULE, for_s=0.0)


class Rules:
    """Answers by endpoint. asked: every request, in order."""

    def __init__(self) -> None:
        self.asked: list[pb.CheckEndpointRequest] = []
        self._lock = threading.Lock()
        self._answers: dict[Endpoint, list[Answer]] = {}

    def set(self, host: str, *answers: Answer, port: int = 443) -> None:
        """Answer questions about an endpoint with these in turn, the last one for ever.

        In place of what was set for it; without answers, nothing is.
        """
        with self._lock:
            self._answers[endpoint_of(host, port)] = list(answers)

    def answer(self, request: pb.CheckEndpointRequest) -> pb.CheckEndpointResponse:
        """Return the response to a request. Raises what the rule raises."""
        asked = own(request, pb.CheckEndpointRequest)
        with self._lock:
            self.asked.append(asked)
            answers = self._answers.get(endpoint_of(asked.host, asked.port), [])
            chosen = answers[0] if answers else _WITHOUT_RULE
            if len(answers) > 1:
                answers.pop(0)
        return chosen(asked)


def batch(rules: Rules, request: pb.BatchCheckEndpointsRequest) -> pb.BatchCheckEndpointsResponse:
    """Return an answer for each item, or its error."""
    response = pb.BatchCheckEndpointsResponse()
    for index, item in enumerate(request.requests):
        result = response.results.add(request_index=index)
        try:
            result.response.CopyFrom(rules.answer(item))
        except CallError as error:
            result.error.CopyFrom(status_of(error))
    return response
