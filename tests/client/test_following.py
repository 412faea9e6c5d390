"""Whoever follows changes lists first, goes on where a stream ends, and lists again if told to."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from otpc_policy_client import (
    AsyncPolicyClient,
    ChangesUnknown,
    Followed,
    PolicyClient,
)
from otpc_policy_client.following import Progress
from otpc_policy_client.v1 import policy_pb2 as pb
from tests.client.serving import service

Script = list["grpc.StatusCode | list[str]"]


def change(host: str, cursor: str) -> pb.WatchVerdictsResponse:
    return pb.WatchVerdictsResponse(
        changes=pb.VerdictChanges(changes=[pb.VerdictChange(host=host)]), cursor=cursor
    )


@dataclass
class Scripted:
    """Answers the next of streams: the cursors of messages, or an error. asked: what came."""

    streams: Script
    lists: list[str] = field(default_factory=lambda: ["l1", "l2", "l3"])
    asked: list[str] = field(default_factory=list)

    def ListWatched(  # noqa: N802
        self, request: pb.ListWatchedRequest, context: Any
    ) -> pb.ListWatchedResponse:
        self.asked.append(f"list {request.page_token}".strip())
        if request.page_token:
            return pb.ListWatchedResponse(
                endpoints=[pb.WatchedEndpoint(host="b.test")], cursor="later"
            )
        return pb.ListWatchedResponse(
            endpoints=[pb.WatchedEndpoint(host="a.test")],
            next_page_token="second",
            cursor=self.lists.pop(0),
        )

    def WatchVerdicts(  # noqa: N802
        self, request: pb.WatchVerdictsRequest, context: Any
    ) -> Iterator[pb.WatchVerdictsResponse]:
        self.asked.append(f"watch {request.cursor}".strip())
        outcome = self.streams.pop(0)
        if isinstance(outcome, grpc.StatusCode):
            context.abort(outcome, "scripted")
            return
        for cursor in outcome:
            if cursor == "silence":
                silence = threading.Event()
                context.add_callback(silence.set)
                silence.wait(10)
                return
            yield change(f"{cursor}.test", cursor)


SCRIPT: Script = [
    ["c1", "c2"],
    grpc.StatusCode.UNAVAILABLE,
    ["c3"],
    ["silence"],
    grpc.StatusCode.OUT_OF_RANGE,
    ["c4"],
    grpc.StatusCode.PERMISSION_DENIED,
]
ASKED = [
    *("list", "list second", "watch l1", "watch c2", "watch c2", "watch c3", "watch c3"),
    *("list", "list second", "watch l2", "watch c4"),
]


def told(followed: Followed) -> list[str]:
    if followed.listed is not None:
        return [f"list of {len(followed.listed)}"]
    return [each.host for each in followed.changes]


async def told_to_thread(port: int, found: list[str]) -> None:
    with PolicyClient(f"127.0.0.1:{port}") as client:
        for followed in client.follow_verdicts(timeout_s=10, silence_s=0.5):
            found += told(followed)


async def told_to_async(port: int, found: list[str]) -> None:
    async with AsyncPolicyClient(f"127.0.0.1:{port}") as client:
        async for followed in client.follow_verdicts(timeout_s=10, silence_s=0.5):
            found += told(followed)


@pytest.mark.parametrize("is_async", [False, True])
async def test_streams_go_on_from_the_last_cursor_and_too_old_lists_again(is_async: bool) -> None:
    servicer, found = Scripted(list(SCRIPT)), list[str]()
    tell = told_to_async if is_async else told_to_thread
    with service(servicer) as port, pytest.raises(grpc.RpcError) as ended:
        await tell(port, found)
    error: Any = ended.value
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert found == ["list of 2", "c1.test", "c2.test", "c3.test", "list of 2", "c4.test"]
    assert servicer.asked == ASKED


def test_a_list_without_a_cursor_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otpc_policy_client.following._FIRST_PAUSE_S", 0.001)
    # A stream from now on would leave out what has changed since the list.
    servicer = Scripted([["now"], ["c1"]], lists=["", "l1", ""])
    with service(servicer) as port, PolicyClient(f"127.0.0.1:{port}") as client:
        following = client.follow_verdicts(timeout_s=10)
        assert [told(next(following)) for _ in range(2)] == [["list of 2"], ["c1.test"]]
        following.close()
    assert servicer.asked == [
        *("list", "list second", "watch", "list", "list second", "watch l1"),
    ]


def test_where_nothing_is_watched_it_ends_at_once() -> None:
    servicer = Scripted([grpc.StatusCode.UNIMPLEMENTED], lists=[""])
    with service(servicer) as port, PolicyClient(f"127.0.0.1:{port}") as client:
        with pytest.raises(grpc.RpcError):
            next(client.follow_verdicts(timeout_s=10))
        # From a cursor it asks for no list.
        servicer.streams.append(["c9"])
        assert told(next(client.follow_verdicts(timeout_s=10, cursor="c8"))) == ["c9.test"]
    assert servicer.asked[-1] == "watch c8"


def _pauses(progress: Progress, most: int) -> Iterator[float]:
    for _ in range(most):
        yield progress.failed()


def test_attempts_are_bounded_and_pauses_grow_to_a_bound() -> None:
    longest: Callable[[float, float], float] = lambda _least, most: most  # noqa: E731
    progress = Progress("c", most_failures=12, draw=longest)
    pauses = list(_pauses(progress, 12))
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.2, 10.0)
    with pytest.raises(ChangesUnknown):
        progress.failed()
    progress = Progress("c", most_failures=2, draw=longest)
    assert list(_pauses(progress, 2))
    progress.took(change("a.test", "d"))
    assert list(_pauses(progress, 2)) == [0.2, 0.4]
