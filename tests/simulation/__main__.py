"""`python -m tests.simulation`: many runs, or one of them with its history."""

import argparse
import sys
import time
from collections.abc import Sequence
from multiprocessing import Pool

from tests.simulation.broken import BROKEN, StoreOf, broken
from tests.simulation.run import Run
from tests.simulation.store import ScriptedStore


def main() -> int:
    """Return 1 if an invariant was violated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500, help="how many runs (default: 500)")
    parser.add_argument("--seed", type=int, default=1, help="of the first run (default: 1)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--replay", type=int, metavar="SEED", help="print the history of one run")
    parser.add_argument("--without", choices=BROKEN, help="with a store that lacks something")
    chosen = parser.parse_args()
    store_of = ScriptedStore if chosen.without is None else broken(chosen.without)
    if chosen.replay is not None:
        return _replay(chosen.replay, store_of)
    return _carry_out(range(chosen.seed, chosen.seed + chosen.runs), chosen.jobs, chosen.without)


def _replay(seed: int, store_of: StoreOf) -> int:
    run = Run(seed, store_of).carry_out()
    for fault in run.faults:
        print(f"{fault.at_s:9.3f}  will be {fault}")
    for at_s, text in run.history:
        print(f"{at_s:9.3f}  {text}")
    print(run.digest())
    return int(bool(run.violations))


def _carry_out(seeds: Sequence[int], jobs: int, without: str | None) -> int:
    began_s, answers, measured, failed = time.monotonic(), 0, 0, list[int]()
    with Pool(jobs) as pool:
        tasks = pool.imap(_outcome, ((seed, without) for seed in seeds), chunksize=20)
        for done, (seed, violations, made, begun) in enumerate(tasks, 1):
            answers, measured = answers + made, measured + begun
            for violation in violations:
                failed.append(seed)
                print(f"seed {seed}: {violation}", flush=True)
            if done % 500 == 0:
                print(f"{done} runs, {time.monotonic() - began_s:.0f} s", flush=True)
    print(
        f"{len(seeds)} runs, {answers} answers, {measured} measurements, {len(failed)} violations, "
        f"{time.monotonic() - began_s:.0f} s"
    )
    return int(bool(failed))


def _outcome(task: tuple[int, str | None]) -> tuple[int, Sequence[str], int, int]:
    seed, without = task
    run = Run(seed, ScriptedStore if without is None else broken(without)).carry_out()
    return seed, run.violations, run.answers, len(run.truth.measured)


if __name__ == "__main__":
    sys.exit(main())
