"""What crosses the pipe of a DEEP scan arrives as it was, and nonsense is refused."""

import json
from dataclasses import replace

import pytest

from otpc_policy.core.addresses import vet_again
from otpc_policy.core.facts import ClientAuth, DeepCommand, Support, TlsVersion
from otpc_policy.engine.survey.probe import Ending
from otpc_policy.engine.workers.deep_messages import (
    DeepTask,
    Part,
    Report,
    Trace,
    decode_report,
    decode_task,
    encode_report,
    encode_task,
)
from otpc_policy.engine.workers.worker_lied import WorkerLied
from otpc_policy.tls.clear_flight import ClearFlight

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
                    flight=ClearFlight(
                        hello=True,
                        compression=Support.NO,
                        secure_renegotiation=Support.YES,
                        hello_done=True,
                        refusal=40,
                        alerts=(10, 20),
                    ),
                ),
            ),
        ),
    ),
)


def test_a_task_and_a_report_arrive_as_they_were() -> None:
    assert decode_task(encode_task(TASK)) == TASK
    assert decode_report(encode_report(REPORT, TASK.target), TASK.target) == REPORT
    control = Report(command=None, completed=True, claim=Support.UNKNOWN)
    assert decode_report(encode_report(control, TASK.target), TASK.target) == control


TRACE = REPORT.parts[0].traces[0]


def test_long_texts_and_many_alerts_are_cut_not_refused() -> None:
    """A server chooses them, and an honest process must not look like a liar for that."""
    flight = replace(TRACE.flight, alerts=(40,) * 9000)
    part = replace(
        REPORT.parts[0], said=("x" * 9000,) * 99, traces=(replace(TRACE, flight=flight),)
    )
    sent = encode_report(replace(REPORT, said="y" * 9000, parts=(part,)), TASK.target)
    (read,) = decode_report(sent, TASK.target).parts
    assert (len(read.said), len(read.said[0]), len(read.traces[0].flight.alerts)) == (32, 500, 8)


@pytest.mark.parametrize(
    "changed",
    [
        {"command": "http_headers"},
        {"claim": "MAYBE"},
        {"parts": [{"name": "0"}]},
        {"parts": None},
        {"completed": "yes"},
        {"completed": 1},
        {"said": "x" * 501},
        {"surprise": True},
        {"parts": [{"name": "0", "claim": "NO", "said": ["x"] * 33, "traces": []}]},
        {"parts": [{"name": "0", "claim": "NO", "said": [], "traces": []}] * 513},
    ],
)
def test_a_report_in_other_words_is_a_lie(changed: dict[str, object]) -> None:
    fields = json.loads(encode_report(REPORT, TASK.target))
    fields["report"].update(changed)
    with pytest.raises(WorkerLied):
        decode_report(json.dumps(fields).encode(), TASK.target)


@pytest.mark.parametrize("flight", [{"refusal": 256}, {"alerts": [-1]}, {"alerts": [1.5]}])
def test_alerts_that_do_not_exist_are_a_lie(flight: dict[str, object]) -> None:
    fields = json.loads(encode_report(REPORT, TASK.target))
    fields["report"]["parts"][0]["traces"][0]["flight"].update(flight)
    with pytest.raises(WorkerLied):
        decode_report(json.dumps(fields).encode(), TASK.target)


def test_a_report_about_another_target_is_a_lie() -> None:
    other = replace(TASK, port=443).target
    with pytest.raises(WorkerLied, match="target"):
        decode_report(encode_report(REPORT, other), TASK.target)


@pytest.mark.parametrize("message", [b"", b"[" * 100_000, b"NaN", b"\xff"])
def test_what_is_no_report_at_all_is_a_lie(message: bytes) -> None:
    with pytest.raises(WorkerLied):
        decode_report(message, TASK.target)
