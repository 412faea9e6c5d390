"""How late the event loop is, seen from inside it."""

import asyncio
import time

from otpc_policy.ops.loop_lag import LoopLag


async def test_a_call_that_holds_the_loop_is_seen() -> None:
    lags: list[float] = []
    looked = asyncio.Event()

    def observe(lag_s: float) -> None:
        lags.append(lag_s)
        looked.set()

    lag = LoopLag(observe, every_s=0.001)
    lag.start()
    try:
        time.sleep(0.05)  # noqa: ASYNC251  # what is looked for
        await looked.wait()
        assert lags[0] > 0.04
        looked.clear()
        await looked.wait()
        assert all(each >= 0 for each in lags)
    finally:
        lag.stop()


async def test_it_looks_no_more_once_it_is_stopped() -> None:
    lags: list[float] = []
    lag = LoopLag(lags.append, every_s=0.0)
    lag.stop()
    lag.start()
    lag.stop()
    lag.stop()
    await asyncio.sleep(0.001)
    assert lags == []
