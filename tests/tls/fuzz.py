"""The decoder under mutated answers: `python -m tests.tls.fuzz --cases 1000000 --seed 1`.

Every case is fed at once, byte by byte and in random chunks, and must give the same value each
time; Garbage is the decoder's own error. Anything else, or too much time for its bytes, ends the
run: the case is saved as hexadecimal text, and the exit status is 1.
"""

import argparse
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.transport.conversation import Conversation
from otpc_policy.tls.answer import (
    Alert,
    Answer,
    AnswerReader,
    Garbage,
    Incomplete,
    PlainHttp,
    ServerHello,
    Ssl2ServerHello,
    parse_answer,
)
from otpc_policy.tls.client_hello import ClientHello
from tests.tls.hostile_answers import fragmented, handmade, long_hello, mutated

RECORDED = Path(__file__).parent / "recorded"
HELLO = ClientHello(
    version=TlsVersion.TLS_1_2,
    lowest=TlsVersion.TLS_1_2,
    cipher_suites=(0xC02F,),
    server_name="partner.test",
)
KINDS = (Alert, Garbage, Incomplete, PlainHttp, ServerHello, Ssl2ServerHello)
# About ten times what a case and a byte cost, for all feeds: room for a busy machine, but not for a
# second pass.
_ALLOWED_S, _ALLOWED_S_PER_BYTE = 0.02, 10e-6
_ALLOWED_GROWTH_KIB = 16 * 1024


def seeds() -> list[bytes]:
    """Return what real servers answered, and answers that no available server sends."""
    return [path.read_bytes() for path in sorted(RECORDED.glob("*.bin"))] + handmade()


def check(case: bytes, random: Random) -> tuple[Answer, bytes | None]:
    """Return the answer in the case, and its leaf.

    Raises AssertionError, or whatever the decoder raises.
    """
    allowed_s = _ALLOWED_S + _ALLOWED_S_PER_BYTE * len(case)
    started_s = time.perf_counter()
    found = judged(case, random)
    # A busy machine takes time too, so a slow case is judged by processor time, which is costly to
    # measure.
    if time.perf_counter() - started_s > allowed_s:
        spent_s = min(processor_time_s(case, random) for _ in range(3))
        assert spent_s <= allowed_s, f"{spent_s * 1e3:.1f} ms for {len(case)} bytes"
    return found


def processor_time_s(case: bytes, random: Random) -> float:
    """Return what all feeds of a case cost."""
    started_s = time.thread_time()
    judged(case, random)
    return time.thread_time() - started_s


def judged(case: bytes, random: Random) -> tuple[Answer, bytes | None]:
    """Return the same as check, whatever time it takes."""
    at_once = AnswerReader()
    answer = at_once.feed(case)
    assert isinstance(answer, KINDS), f"no answer at all: {answer!r}"
    for next_size in (lambda: 1, lambda: 1 + int(200 * random.random())):
        in_pieces = fed(case, next_size)
        assert in_pieces.feed(b"") == answer, "the answer depends on how the bytes come"
        assert in_pieces.at_end() == at_once.at_end(), "the end depends on how the bytes come"
        assert in_pieces.warning == at_once.warning, "warnings depend on how the bytes come"
    assert parse_answer(case) == (
        at_once.warning or answer if isinstance(answer, Incomplete) else answer
    ), "parse_answer differs"
    leaf = leaf_in(case, lambda: len(case))
    assert leaf is None or 0 < len(leaf) < len(case), "a leaf that was not sent"
    assert leaf_in(case, lambda: 1 + int(200 * random.random())) == leaf, (
        "the leaf depends on how the bytes come"
    )
    return answer, leaf


def leaf_in(case: bytes, next_size: Callable[[], int]) -> bytes | None:
    """Return the leaf that a conversation reads from a case, given in pieces; None if none."""
    conversation, place = Conversation(HELLO, bytes), 0
    while place < len(case) and not conversation.is_over:
        size = next_size()
        assert conversation.receive(case[place : place + size]) == b"", (
            "something is answered to a hello of TLS 1.2"
        )
        place += size
    flight = conversation.flight
    return flight.chain[0] if flight is not None and flight.chain else None


def fed(case: bytes, next_size: Callable[[], int]) -> AnswerReader:
    """Return a reader that was given the case in pieces.

    Raises AssertionError if an answer changes once it is given.
    """
    reader, place = AnswerReader(), 0
    while place < len(case):
        size = next_size()
        answer = reader.feed(case[place : place + size])
        place += size
        if not isinstance(answer, Incomplete):
            assert reader.feed(case[place : place + 1]) is answer, (
                "the answer changes after it was given"
            )
            assert reader.feed(case[place + 1 :]) is answer, "the answer changes after it was given"
            break
    return reader


def growth() -> float:
    """Return how much longer eight times as many bytes take.

    In the costliest shape: one byte per record, one byte at a time.
    """

    def spent_s(body_bytes: int) -> float:
        case = fragmented(long_hello(body_bytes), 1)
        best = 1e9
        for _ in range(3):
            started_s = time.thread_time()
            assert isinstance(fed(case, lambda: 1).at_end(), ServerHello)
            best = min(best, time.thread_time() - started_s)
        return best

    return spent_s(12_000) / spent_s(1_500)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random, known = Random(arguments.seed), seeds()
    answers: Counter[str] = Counter()
    total_bytes, hints = 0, 0
    started_s = shown_s = time.monotonic()
    memory_at_start_kib = 0
    for number in range(1, arguments.cases + 1):
        case = mutated(random, known)
        try:
            answer, leaf = check(case, random)
        except Exception as failure:  # noqa: BLE001 - its case is wanted
            saved = Path(f"fuzz-{arguments.seed}-{number}.hex")
            saved.write_text(case.hex() + "\n")
            print(
                f"case {number}: {type(failure).__name__}: {failure}; saved as {saved}",
                file=sys.stderr,
            )
            return 1
        answers[type(answer).__name__] += 1
        total_bytes += len(case)
        hints += leaf is not None
        if number == min(10_000, arguments.cases):
            memory_at_start_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if time.monotonic() - shown_s >= 1:
            shown_s = time.monotonic()
            print(
                f"{number:>10,} cases  {number / (shown_s - started_s):>8,.0f} a second", flush=True
            )
    elapsed_s = time.monotonic() - started_s
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{arguments.cases:,} cases of {total_bytes / arguments.cases:,.0f} bytes on average"
        f" in {elapsed_s:.1f} s: {arguments.cases / elapsed_s:,.0f} a second"
    )
    print(
        "answers: "
        + ", ".join(f"{kind} {count:,}" for kind, count in answers.most_common())
        + f"; leaves found: {hints:,}"
    )
    print(
        f"peak memory: {peak_kib / 1024:.1f} MiB,"
        f" {(peak_kib - memory_at_start_kib) / 1024:.1f} MiB more than after the first cases"
    )
    times = growth()
    print(f"eight times the bytes take {times:.1f} times as long")
    return 0 if peak_kib - memory_at_start_kib <= _ALLOWED_GROWTH_KIB and times < 16 else 1


if __name__ == "__main__":
    sys.exit(main())
