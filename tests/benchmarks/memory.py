"""Memory of every process under mixed load: `python -m tests.benchmarks.memory --minutes 30`.

Good targets measured anew, one by one and in batches, answers from the cache, certificates,
reloads, hostile targets whose callers leave, and refusals, all at once. The unique set size of
every process is sampled, printed and plotted to a PNG. Exit status 0: the last third holds no more
than the middle third, within --slack-mib.
"""

import argparse
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc

from tests.app.hostile_crowd import Crowd, hostile_crowd
from tests.benchmarks.plot import COLOURS, plot

_GOOD, _HOSTILE = 100, 40
_TOTAL = "all processes"
# After which the load ends, and means nothing any more.
_MOST_FAILURES = 20
_MOST_ERRORS = 20
Lines = dict[str, list[tuple[float, float]]]


def _good(crowd: Crowd) -> None:
    # More than the cache holds, so that each is measured anew; asked for again, they are in it.
    for start in range(0, _GOOD, 4):
        hosts = [f"g{number}.good.test" for number in range(start, start + 4)]
        crowd.good(hosts * 5)


def _batches(crowd: Crowd) -> None:
    crowd.batch([f"g{number}.good.test" for number in range(_GOOD // 2)])
    time.sleep(1)


def _others(crowd: Crowd) -> None:
    crowd.other_questions(20)
    crowd.reload()
    time.sleep(1)


def _hostile(crowd: Crowd) -> None:
    with crowd.hostile(_HOSTILE):
        time.sleep(5)


def _refused(crowd: Crowd) -> None:
    crowd.refused(100)
    time.sleep(1)


def load(crowd: Crowd, lasting_s: float, sample_s: float) -> tuple[Lines, list[str]]:
    """Return MiB over seconds by process, and what failed meanwhile."""
    done, failures = threading.Event(), list[str]()

    def repeat(part: Callable[[Crowd], None]) -> None:
        while not done.is_set():
            try:
                part(crowd)
            except (AssertionError, grpc.RpcError) as error:
                at_s = time.monotonic() - began_s
                failures.append(f"{part.__name__} at {at_s:.0f} s: {type(error).__name__} {error}")
                if len(failures) > _MOST_FAILURES:
                    return

    began_s = time.monotonic()
    parts = (_good, _batches, _others, _hostile, _refused)
    threads = [threading.Thread(target=repeat, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    lines: Lines = defaultdict(list)
    while (at_s := time.monotonic() - began_s) < lasting_s:
        sampled = crowd.memory_mib()
        for name, mib in (*sampled.items(), (_TOTAL, sum(sampled.values()))):
            lines[name].append((at_s, mib))
        time.sleep(sample_s)
    done.set()
    for thread in threads:
        thread.join()
    return lines, failures


def growth_mib(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much the median of the last third exceeds that of the middle third."""
    third = len(points) // 3
    middle, last = points[third : 2 * third], points[2 * third :]
    if not middle:
        return 0.0
    return statistics.median(y for _, y in last) - statistics.median(y for _, y in middle)


def main() -> int:
    """Run, print and plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="(%(default)s)")
    parser.add_argument("--sample-s", type=float, default=2.0, help="(%(default)s)")
    parser.add_argument("--slack-mib", type=float, default=8.0, help="(%(default)s)")
    parser.add_argument("--png", type=Path, default=Path("memory.png"), help="(%(default)s)")
    options = parser.parse_args()
    with hostile_crowd(hostile=_HOSTILE, good=_GOOD) as crowd:
        lines, failures = load(crowd, options.minutes * 60, options.sample_s)
        errors = crowd.errors()
    # Workers come and go; those that live long enough to show a trend have lines of their own.
    longest = sorted(lines, key=lambda name: (name != _TOTAL, -len(lines[name])))[: len(COLOURS)]
    colours = dict(zip(longest, COLOURS, strict=False))
    plot(options.png, {colour: lines[name] for name, colour in colours.items()}, step=50)
    for name, colour in colours.items():
        sizes = [mib for _, mib in lines[name]]
        print(
            f"{colour:7} {name:30} {len(sizes)} samples, first {sizes[0]:.0f}, most "
            f"{max(sizes):.0f}, last {sizes[-1]:.0f} MiB, grew {growth_mib(lines[name]):+.1f}"
        )
    print(f"{len(lines) - 1} processes; {options.png}: a line of the grid is 50 MiB")
    for failure in failures:
        print(f"FAILED {failure[:500]}")
    for error in errors[:_MOST_ERRORS]:
        print(f"LOGGED {error[:2000]}")
    return 1 if failures or growth_mib(lines[_TOTAL]) > options.slack_mib else 0


if __name__ == "__main__":
    raise SystemExit(main())
