"""Routes of this machine."""

from otpc_policy.ops.routes import has_route


def test_this_machine_has_a_route_to_itself() -> None:
    assert has_route("127.0.0.1")
