"""otpc-policy audit verify: its exit status, its words, and a file that a service has written."""

import json
import os
import signal
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest

from otpc_policy.ops.audit.file_sink import FileSink, head_path
from otpc_policy.ops.audit.schema import line_of
from otpc_policy.v1 import policy_pb2 as pb
from tests.cli.running import Run
from tests.cli.test_serve import COMMAND
from tests.support.service_process import ServiceProcess, service_process
from tests.support.waiting import wait_until


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path)
    for number in range(3):
        sink.write(line_of("info", "decision", {"number": number}))
    sink.close()
    return path


def test_an_intact_file_is_ok_and_its_last_hash_is_the_next_anchor(run: Run, written: Path) -> None:
    done = run("audit", "verify", written)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.startswith("ok: lines 1 to 4 in 1 file; the last is 4:")
    anchor = done.stdout.split()[-1]
    assert run("audit", "verify", written, "--anchor", anchor).status == 0
    other = anchor[:-1] + ("0" if anchor[-1] != "0" else "1")
    refused = run("audit", "verify", written, "--anchor", other)
    assert refused.status == 1
    assert "another hash than its anchor" in refused.stdout


def test_each_finding_has_its_place(run: Run, written: Path) -> None:
    lines = written.read_text().splitlines(keepends=True)
    written.write_text("".join([lines[0], lines[1].replace('"number":0', '"number":7'), lines[3]]))
    done = run("audit", "verify", written)
    assert done.status == 1
    first, second, last = done.stdout.splitlines()
    assert first.startswith(f"{written}:2: line 2 was changed")
    assert second.startswith(f"{written}:3: line 3 is missing")
    assert last.startswith("NOT intact: lines 1 to 4")


def test_it_says_what_it_cannot_find(run: Run, written: Path) -> None:
    head_path(written).unlink()
    lines = written.read_text().splitlines(keepends=True)
    written.write_text("".join(lines[:-1]))
    done = run("audit", "verify", written)
    assert done.status == 0
    assert "nothing here shows whether lines are missing at the end" in done.stdout


def test_a_file_that_cannot_be_read_and_a_wrong_anchor_are_usage_errors(
    run: Run, written: Path
) -> None:
    assert run("audit", "verify", written.with_name("none")).status == 2
    done = run("audit", "verify", written, "--anchor", "4")
    assert done.status == 2
    assert "--anchor" in done.stderr


def _refuse(service: ServiceProcess, count: int) -> None:
    for _ in range(count):
        with pytest.raises(grpc.RpcError):
            service.checks.CheckEndpoint(pb.CheckEndpointRequest(host=""), timeout=10)


@pytest.mark.xdist_group("service process")
def test_a_service_chains_its_file_over_rotation_and_sends_all_to_a_collector(
    run: Run, tmp_path: Path
) -> None:
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            for record in body["resourceLogs"][0]["scopeLogs"][0]["logRecords"]:
                received.append(record["body"]["stringValue"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    path, rotated = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with service_process(
                tmp_path,
                OTPC_POLICY_AUDIT__SINKS="file,otlp",
                OTPC_POLICY_AUDIT__LOG_FILE=str(path),
                OTPC_POLICY_AUDIT__OTLP_ENDPOINT=f"http://127.0.0.1:{server.server_port}/v1/logs",
            ) as service:
                _refuse(service, 3)
                wait_until(lambda: path.read_text().count('"refusal"') == 3)
                path.rename(rotated)
                service.process.send_signal(signal.SIGHUP)
                wait_until(path.exists)
                _refuse(service, 2)
                assert service.metric('otpc_policy_audit_lines_lost_total{sink="file"}') == 0
                series = 'otpc_policy_refusals_total{code="INVALID_ARGUMENT"'
                assert service.metric(series + ',reason="INVALID_REQUEST"}') == 5
        finally:
            server.shutdown()
            thread.join()
    lines = (rotated.read_text() + path.read_text()).splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert events.count("refusal") == 5
    assert {"serving", "configuration_reloaded", "draining", "stopped"} <= set(events)
    done = run("audit", "verify", rotated, path)
    assert (done.status, done.stdout[:3]) == (0, "ok:"), done.stdout
    sent = [json.loads(line) for line in received]
    assert [one["event"] for one in sent].count("refusal") == 5
    # How far the chain has got is known to the collector, where the file's writer cannot reach.
    anchor = [one for one in sent if one["event"] == "audit_anchor"][-1]
    done = run("audit", "verify", rotated, path, "--anchor", f"{anchor['seq']}:{anchor['chain']}")
    assert done.status == 0
    # People see the configuration on standard error all the same.
    assert any(line["event"] == "serving" for line in service.log_lines())
    assert not any("schema" in line for line in service.log_lines())


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ('sinks = ["file"]', "audit.log_file: is required"),
        ('sinks = ["otlp"]', "audit.otlp_endpoint: is required"),
        ('sinks = ["syslog"]', "audit.sinks"),
        ('sinks = ["file"]\nlog_file = "missing/audit.jsonl"', "missing/audit.jsonl"),
        ('sinks = ["file"]\nlog_file = "."', "audit.log_file"),
        ('otlp_endpoint = "http://collector.example:4318"', "plain text to another machine"),
        ('otlp_endpoint = "https://user:pass@collector.example"', "no password"),
        ('otlp_endpoint = "collector.example:4318"', "must be a URL"),
        (
            'sinks = ["otlp"]\notlp_endpoint = "https://c.example"\notlp_ca_file = "none.pem"',
            "audit.otlp_ca_file",
        ),
    ],
)
def test_a_sink_that_cannot_be_used_refuses_the_start(
    run: Run, tmp_path: Path, settings: str, problem: str
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'listen = "127.0.0.1:0"\nops_listen = "127.0.0.1:0"\n[audit]\n{settings}\n')

    done = subprocess.run(
        [*COMMAND[:4], "--config", str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert problem in done.stderr


@pytest.mark.xdist_group("service process")
def test_on_standard_output_there_are_audit_lines_alone(tmp_path: Path) -> None:
    environment = {**os.environ, "OTPC_POLICY_AUDIT__SINKS": "stdout"}
    errors = tmp_path / "errors"
    with (
        errors.open("w") as sink,
        subprocess.Popen(
            COMMAND, stdout=subprocess.PIPE, stderr=sink, text=True, env=environment
        ) as service,
    ):
        try:
            assert service.stdout is not None
            serving = json.loads(service.stdout.readline())
            # What is no TLS and no HTTP/2 makes gRPC write lines of its own.
            host, _, port = serving["listen"].rpartition(":")
            with socket.create_connection((host, int(port)), 5) as opened:
                opened.sendall(b"GET / HTTP/1.1\r\n\r\n")
                opened.recv(1_000)
        finally:
            service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0
        lines = [json.loads(line) for line in service.stdout.read().splitlines()]
    assert (serving["schema"], serving["event"], serving["pid"]) == (1, "serving", service.pid)
    assert [line["event"] for line in lines] == ["draining", "stopped"]
    told = [json.loads(line) for line in errors.read_text().splitlines()]
    assert not any("schema" in line for line in told)
    assert {"serving", "draining", "stopped"} <= {line["event"] for line in told}


@pytest.mark.xdist_group("service process")
def test_audit_lines_are_written_at_every_level_and_in_columns_for_people(tmp_path: Path) -> None:
    with service_process(
        tmp_path, OTPC_POLICY_LOG_FORMAT="console", OTPC_POLICY_LOG_LEVEL="error"
    ) as service:
        _refuse(service, 1)
    lines = (tmp_path / "errors").read_text().splitlines()
    (refusal,) = [line for line in lines if "refusal" in line]
    assert "code=INVALID_ARGUMENT" in refusal
    assert any("serving" in line for line in lines)
    assert not any(line.startswith("{") for line in lines)
