"""What crosses the pipe of a DEEP scan arrives as it was, and nonsense is refused."""

import json

import pytest

from otpc_policy.core.addresses import vet_again
from otpc_policy.core.facts import ClientAuth, DeepCommand, Support, TlsVersion
from otpc_policy.scan.deep_messages import DeepTask, Part, Report, Trace, decode_report, decode_task, encode_report, encode_task
from otpc_policy.scan.server_flight import ServerFlight
from otpc_policy.tls.probe import Ending

TASK = DeepTask(
    address=vet_again("2001:db8::1", ["2001:db8::/32"]),
    port=8443,
    server_name=None,
    commands=(DeepCommand.ROBOT, DeepCommand.SSL_2_0_CIPHER_SUITES),
    cipher_suites=((TlsVersion.TLS_1_2, ("AES128-SHA",)), (TlsVersion.SSL_2_0, ())),
    client_auth=ClientAuth.REQUIRED,
    connections=8,
    deadline_s=60.5,
    connection_deadline_s=4.0,
    connection_bytes=262_144,
)
REPORT = Report(
    command=DeepCommand.OPENSSL_CCS_INJECTION,
    completed=True,
    claim=Support.NO,
    said="said",
    parts=(
        Part(
            name="0",
            claim=Support.NO,
            said=("one", "two"),
            traces=(
                Trace(
                    connected=True,
                    ending=Ending.RESET,
                    completed=False,
                    offers_compression=True,
                    flight=ServerFlight(hello=True, compression=Support.NO, secure_renegotiation=Support.YES, hello_done=True, refusal=40, alerts=(10, 20)),
                ),
            ),
        ),
    ),
)


def test_a_task_and_a_report_arrive_as_they_were() -> None:
    assert decode_task(encode_task(TASK)) == TASK
    assert decode_report(encode_report(REPORT)) == REPORT
    control = Report(command=None, completed=True, claim=Support.UNKNOWN)
    assert decode_report(encode_report(control)) == control


@pytest.mark.parametrize(
    "changed",
    [
        {"command": "http_headers"},
        {"claim": "MAYBE"},
        {"parts": [{"name": "0"}]},
        {"parts": None},
    ],
)
def test_a_report_in_other_words_is_refused(changed: dict[str, object]) -> None:
    fields = json.loads(encode_report(REPORT))
    with pytest.raises((ValueError, KeyError, TypeError)):
        decode_report(json.dumps({**fields, **changed}).encode())


def test_only_true_is_true() -> None:
    fields = json.loads(encode_report(REPORT))
    assert not decode_report(json.dumps({**fields, "completed": "yes"}).encode()).completed
