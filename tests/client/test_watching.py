"""Following changes without IO: cursors, lists, pauses, and when there is no use in going on."""

from itertools import pairwise

import grpc
import pytest

from otpc_policy_client import CallError
from otpc_policy_client.errors import ErrorDetails
from otpc_policy_client.v1 import policy_pb2 as pb
from otpc_policy_client.watching import GiveUp, ListAgain, Pause, Received, Stream, Watch

OK_END = None


def error(
    status: grpc.StatusCode, reason: str = "", retry_after_s: float | None = None
) -> CallError:
    return CallError(status, "", ErrorDetails(reason=reason, retry_after_s=retry_after_s))


TOO_OLD = error(grpc.StatusCode.OUT_OF_RANGE, "CURSOR_TOO_OLD")


def checkpoint(cursor: str) -> pb.WatchVerdictsResponse:
    return pb.WatchVerdictsResponse(checkpoint=pb.Checkpoint(), cursor=cursor)


def change(host: str, cursor: str, *, removed: bool = False) -> pb.WatchVerdictsResponse:
    changes = [pb.VerdictChange(host=host, port=443, removed=removed)]
    return pb.WatchVerdictsResponse(changes=pb.VerdictChanges(changes=changes), cursor=cursor)


def test_a_stream_without_a_cursor_begins_and_goes_on_from_its_last_cursor() -> None:
    watch = Watch(0.5)
    assert watch.next() == Stream("")
    assert watch.received(checkpoint("1")) == Received(begun=True)
    assert watch.received(change("[2001:db8::1]", "2")) == Received((("2001:db8::1", 443),))
    assert watch.received(change("A.example", "3", removed=True)) == Received((("a.example", 443),))
    watch.ended()
    assert watch.next() == Pause(0.5)
    assert watch.next() == Stream("3")
    assert watch.received(checkpoint("4")) == Received()
    watch.failed(error(grpc.StatusCode.UNAVAILABLE, retry_after_s=9))
    assert watch.next() == Pause(9)
    assert watch.next() == Stream("4")


def test_a_cursor_that_is_too_old_is_answered_by_a_list() -> None:
    watch = Watch(1.0)
    watch.next()
    watch.received(checkpoint("1"))
    watch.failed(TOO_OLD)
    assert watch.next() == ListAgain()
    listed = [pb.WatchedEndpoint(host="A.example", port=443, decision=pb.DECISION_ALLOW)]
    assert watch.listed(listed, "7") == {("a.example", 443): pb.DECISION_ALLOW}
    assert watch.next() == Stream("7")
    assert watch.received(checkpoint("8")) == Received()


def test_a_list_without_a_cursor_begins_anew_after_a_pause() -> None:
    watch = Watch(1.0)
    watch.next()
    watch.received(checkpoint("1"))
    watch.failed(TOO_OLD)
    watch.next()
    watch.listed([], "")
    assert isinstance(watch.next(), Pause)
    assert watch.next() == Stream("")
    assert watch.received(checkpoint("2")).begun


def test_a_cursor_that_nobody_knows_is_given_up_once() -> None:
    watch = Watch(1.0)
    watch.next()
    watch.received(checkpoint("1"))
    watch.failed(error(grpc.StatusCode.INVALID_ARGUMENT))
    assert isinstance(watch.next(), Pause)
    assert watch.next() == ListAgain()
    watch.listed([], "")
    assert isinstance(watch.next(), Pause)
    assert watch.next() == Stream("")
    watch.failed(error(grpc.StatusCode.INVALID_ARGUMENT))
    assert watch.next() == GiveUp("INVALID_ARGUMENT")


@pytest.mark.parametrize("status", ["UNIMPLEMENTED", "PERMISSION_DENIED", "UNAUTHENTICATED"])
def test_a_service_without_changes_for_us_is_left_alone(status: str) -> None:
    watch = Watch(1.0)
    watch.next()
    watch.failed(error(grpc.StatusCode[status]))
    assert watch.next() == GiveUp(status)
    assert watch.next() == GiveUp(status)


@pytest.mark.parametrize("ends", [TOO_OLD, error(grpc.StatusCode.UNAVAILABLE), OK_END])
def test_no_failure_is_repeated_without_pauses_that_grow(ends: CallError | None) -> None:
    watch, pauses = Watch(1.0), list[float]()
    for _ in range(40):
        step = watch.next()
        if isinstance(step, Pause):
            pauses.append(step.delay_s)
        elif isinstance(step, ListAgain):
            watch.listed([], "1")
        elif ends is None:
            watch.ended()
        else:
            watch.failed(ends)
    assert len(pauses) >= 10
    assert all(first <= second for first, second in pairwise(pauses))
    assert (pauses[0] <= 4.0, pauses[-1]) == (True, 60.0)


def test_a_cursor_longer_than_the_contract_permits_is_not_kept() -> None:
    watch = Watch(1.0)
    watch.next()
    watch.received(checkpoint("c" * 2_049))
    watch.ended()
    watch.next()
    assert watch.next() == Stream("")
