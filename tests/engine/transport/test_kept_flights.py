"""What servers present is kept once, and up to a bound; what is not kept is not known."""

from otpc_policy.engine.survey.probe import Ending, Outcome
from otpc_policy.engine.transport.kept_flights import KeptFlights
from otpc_policy.tls.flight import ServerFlight, Signature

NO_ROOM = "the server presented too much to keep"
_MIB = 2**20
SIGNED = Signature(scheme=0x0403, content=bytes(1000), signature=bytes(1000))


def outcome(*chain: bytes, staple: bytes | None = None, alert: int | None = None) -> Outcome:
    flight = ServerFlight(
        chain=chain,
        stapled_ocsp_response=staple,
        signature=SIGNED,
        is_whole=alert is None,
        alert=alert,
    )
    return Outcome(ending=Ending.ANSWERED, connected=True, flight=flight, key_proven=alert is None)


def flight_of(kept: Outcome) -> ServerFlight:
    assert kept.flight is not None
    return kept.flight


def test_what_comes_twice_is_one_object() -> None:
    flights = KeptFlights()
    first, second = (
        flight_of(flights.of(outcome(bytes([1]) * 500, b"root", staple=bytes(300))))
        for _ in range(2)
    )
    assert first == second
    assert all(one is other for one, other in zip(first.chain, second.chain, strict=True))
    assert first.stapled_ocsp_response is second.stapled_ocsp_response


def test_of_a_signature_only_its_scheme_is_kept() -> None:
    kept = flight_of(KeptFlights().of(outcome(b"leaf")))
    assert kept.signature == Signature(scheme=SIGNED.scheme, content=b"", signature=b"")
    assert (kept.chain, kept.is_whole) == ((b"leaf",), True)


def test_a_connection_without_a_flight_is_as_it_was() -> None:
    closed = Outcome(ending=Ending.CLOSED, connected=True)
    assert KeptFlights().of(closed) is closed


def test_a_flight_for_which_there_is_no_room_has_no_certificate_and_proves_nothing() -> None:
    flights = KeptFlights()
    for number in range(64):
        flights.of(outcome(bytes([number]) * (64 * 1024)))
    assert flight_of(flights.of(outcome(bytes([7]) * (64 * 1024)))).chain, "it is there already"
    for late in (outcome(b"leaf"), outcome(bytes([7]) * (64 * 1024), staple=b"staple")):
        kept = flights.of(late)
        assert not kept.key_proven
        assert kept.flight == ServerFlight(flaw=NO_ROOM)
    assert flights.of(outcome(b"leaf", alert=40)).flight == ServerFlight(alert=40, flaw=NO_ROOM)


def test_no_more_than_four_mebibytes_are_kept() -> None:
    flights, kept = KeptFlights(), 0
    for number in range(300):
        chain = (number.to_bytes(2, "big") * 50_000,)
        kept += sum(map(len, flight_of(flights.of(outcome(*chain))).chain))
    assert 3 * _MIB < kept <= 4 * _MIB
