"""Probes: ready only between start and drain, and only with a worker."""

from otpc_policy.app.lifecycle import Lifecycle, Phase


def test_probes_follow_the_phases_and_the_workers() -> None:
    alive = 1
    lifecycle = Lifecycle(lambda: alive)
    probes = lifecycle.probes()

    def said() -> tuple[str, str, str]:
        return probes["/livez"](), probes["/readyz"](), probes["/startupz"]()

    assert said() == ("", "starting", "starting")
    lifecycle.phase = Phase.SERVING
    assert said() == ("", "", "")
    alive = 0
    assert said() == ("", "no worker is alive", "")
    lifecycle.phase = Phase.DRAINING
    assert said() == ("", "draining", "")
