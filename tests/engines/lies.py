"""What engines lie about. `python -m tests.engines.lies FOLDER LIE` is such an engine."""

import asyncio
import math
import sys
from collections.abc import Callable
from pathlib import Path

from otpc_policy.measurement.v1 import measurement_pb2 as pb
from tests.engines.lying import Context, Lie, lying_engine, truth

MIB = 1 << 20


def final(forge: Callable[[pb.MeasureResponse], object]) -> Lie:
    """End with something that would be the truth but for what is forged."""

    async def lie(target: pb.Target, context: Context) -> None:
        message = truth(target)
        forge(message)
        await context.write(message.SerializeToString())

    return lie


def raw(message: bytes) -> Lie:
    """Say these bytes."""

    async def lie(_target: pb.Target, context: Context) -> None:
        await context.write(message)
        await asyncio.Event().wait()

    return lie


def endless(make: Callable[[pb.Target], pb.MeasureResponse]) -> Lie:
    """Say the same again and again."""

    async def lie(target: pb.Target, context: Context) -> None:
        message = make(target).SerializeToString()
        while True:
            await context.write(message)

    return lie


def echoing(target: pb.Target) -> pb.MeasureResponse:
    return pb.MeasureResponse(probe_revision="1", target=target)


def partial(target: pb.Target) -> pb.MeasureResponse:
    message = echoing(target)
    message.partial_report.facts.CopyFrom(truth(target).final_report.facts)
    return message


def progress(*stages: int) -> Lie:
    async def lie(target: pb.Target, context: Context) -> None:
        for stage in stages:
            message = echoing(target)
            message.progress = stage  # type: ignore[assignment]
            await context.write(message.SerializeToString())
        await asyncio.Event().wait()

    return lie


async def changes_its_revision(target: pb.Target, context: Context) -> None:
    message = echoing(target)
    message.progress = pb.PROGRESS_BEGUN
    await context.write(message.SerializeToString())
    end = truth(target)
    end.probe_revision = "2"
    await context.write(end.SerializeToString())


async def stops_short(target: pb.Target, context: Context) -> None:
    message = echoing(target)
    message.progress = pb.PROGRESS_QUEUED
    await context.write(message.SerializeToString())


async def says_more(target: pb.Target, context: Context) -> None:
    for _ in range(2):
        await context.write(truth(target).SerializeToString())


def facts_of(message: pb.MeasureResponse) -> pb.AddressFacts:
    return message.final_report.facts


# One packed field of a chain as long as a message may be, and one that is longer.
def long_chain(entries: int) -> Callable[[pb.MeasureResponse], object]:
    return lambda message: facts_of(message).deployments[0].chain.extend([0] * entries)


def flood(message: pb.MeasureResponse) -> None:
    """As many empty submessages as fit: two bytes each, and far more in memory."""
    deployment = b"\x4a\x00" * 300_000
    facts_of(message).MergeFromString(deployment)


LIES: dict[str, Lie] = {
    "a chain of a million certificates": final(long_chain(1_000_000)),
    "a chain of half a million": final(long_chain(500_000)),
    "a flood of deployments": final(flood),
    "a message beyond all bounds": raw(bytes(30 * MIB)),
    "NaN": final(lambda m: facts_of(m).trace.started_s.extend([math.nan])),
    "a duration of centuries": final(lambda m: setattr(facts_of(m).duration, "seconds", 2**40)),
    "groups nested a hundred thousand deep": raw(b"\x0b" * 100_000),
    "bytes that are no message": raw(b"\xff" * 100),
    "another host": final(lambda m: setattr(m.target, "host", "other.test")),
    "another port": final(lambda m: setattr(m.target, "port", 8443)),
    "another server name": final(lambda m: setattr(m.target, "server_name", "other.test")),
    "an address that nobody vetted": final(lambda m: setattr(m.target, "address", "10.0.0.1")),
    "another depth": final(lambda m: setattr(m.target, "depth", pb.DEPTH_DEEP)),
    "no echo": final(lambda m: m.ClearField("target")),
    "no facts": final(lambda m: m.final_report.ClearField("facts")),
    "a revision with an escape": final(lambda m: setattr(m, "probe_revision", "\x1b[0m")),
    "no revision": final(lambda m: m.ClearField("probe_revision")),
    "another revision than before": changes_its_revision,
    "the end without a report": stops_short,
    "a second final report": says_more,
    "spans that nobody asked for": final(
        lambda m: m.final_report.spans.add(part=pb.SPAN_PART_WAVE)
    ),
    "partial reports that nobody asked for": endless(partial),
    "updates of no known kind for ever": endless(echoing),
    "a stage again": progress(pb.PROGRESS_BEGUN, pb.PROGRESS_BEGUN),
    "stages backwards": progress(pb.PROGRESS_DEEP_BEGUN, pb.PROGRESS_QUEUED),
}


async def _serve(folder: Path, name: str) -> None:
    async with lying_engine(folder, LIES[name]):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2]))
