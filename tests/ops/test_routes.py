"""Routes of this machine, and how often the kernel is asked for them."""

from otpc_policy.ops.routes import Routes, ask_kernel


def test_this_machine_has_a_route_to_itself() -> None:
    assert ask_kernel("127.0.0.1")


def test_the_kernel_is_asked_once_for_each_kind_of_network_and_again_after_five_seconds() -> None:
    asked: list[str] = []
    now_s = 0.0

    def ask(address: str) -> bool:
        asked.append(address)
        return ":" not in address

    routes = Routes(ask, lambda: now_s)
    for address in ("127.0.0.1", "127.9.9.9", "9.9.9.9", "8.8.8.8"):
        assert routes.has_route(address)
    for address in ("::1", "2620:fe::fe", "2001:4860::1"):
        assert not routes.has_route(address)
    assert asked == ["127.0.0.1", "9.9.9.9", "::1", "2620:fe::fe"]
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.1"):
        assert routes.has_route(address)
    assert asked[4:] == ["10.0.0.1", "10.0.0.2"]
    now_s = 5.0
    routes.has_route("127.0.0.1")
    assert asked[6:] == ["127.0.0.1"]


def test_what_is_kept_is_bounded() -> None:
    asked: list[str] = []

    def ask(address: str) -> bool:
        asked.append(address)
        return True

    routes = Routes(ask, lambda: 0.0)
    addresses = [f"10.0.{number // 250}.{number % 250}" for number in range(1_500)]
    for address in (*addresses, addresses[0]):
        routes.has_route(address)
    assert len(asked) == 1_501
