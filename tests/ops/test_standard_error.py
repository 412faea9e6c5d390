"""A program that owns its standard error writes nothing there but log lines."""

import json
import subprocess
import sys
from typing import Any

import pytest

_PROGRAM = """
import os, subprocess, sys, threading, warnings
from otpc_policy.ops.logs import logs_configured
import structlog

def fail():
    raise ValueError("in a thread")

class Failing:
    def __del__(self):
        raise ValueError("in a finalizer")

with logs_configured("{log_format}", "info", owns_standard_error=True):
    structlog.get_logger("ours").info("ours")
    os.write(2, b"from C\\n")
    print("from Python", file=sys.stderr)
    warnings.warn("a warning")
    subprocess.run(["sh", "-c", "echo from a child >&2"], check=True)
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    Failing()
    raise RuntimeError("the end") if {fails} else SystemExit
"""


def _errors(log_format: str = "json", *, fails: bool = False) -> list[str]:
    program = _PROGRAM.replace("{log_format}", log_format).replace("{fails}", str(fails))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_whoever_writes_each_line_is_a_json_object_with_a_time() -> None:
    lines: list[dict[str, Any]] = [json.loads(line) for line in _errors()]
    assert all(line["time"].endswith("Z") and len(line["time"]) == 27 for line in lines)
    texts = {line.get("text") for line in lines}
    assert {"from C", "from Python", "from a child"} <= texts
    assert [line["event"] for line in lines if "ours" in line["event"]] == ["ours"]
    assert any("a warning" in line["event"] for line in lines)
    exceptions = " ".join(line.get("exception", "") for line in lines)
    assert "in a thread" in exceptions
    assert "in a finalizer" in exceptions


def test_columns_for_people_hold_all_lines_as_well() -> None:
    text = "\n".join(_errors("console"))
    for expected in ("ours", "from C", "from Python", "a warning", "from a child", "in a thread"):
        assert expected in text
    assert "{" not in text.partition("\n")[0]


def test_afterwards_standard_error_is_what_it_was() -> None:
    # The program's own end is told by the interpreter, since nobody has caught the exception.
    *_, last = _errors(fails=True)
    assert last == "RuntimeError: the end"


def test_a_flood_from_c_holds_up_nobody(tmp_path: Any) -> None:
    program = """
import os
from otpc_policy.ops.logs import logs_configured
with logs_configured("json", "info", owns_standard_error=True):
    for _ in range(200_000):
        try:
            os.write(2, b"a line of some forty characters, or so\\n")
        except BlockingIOError:
            pass
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.stdout == ""
    assert 100 < len(lines) < 2_000
    # Several summaries where the machine is busy and the flood takes seconds.
    assert sum(line.get("lost", 0) for line in lines) > 1_000


@pytest.mark.parametrize("option", ["listen", "ops-listen"])
def test_a_service_that_does_not_start_says_why_in_json(option: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        options = {"listen": "127.0.0.1:0", "ops-listen": "127.0.0.1:0", option: address}
        command = [sys.executable, "-m", "otpc_policy", "serve"]
        command += [word for name, value in options.items() for word in (f"--{name}", value)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 2
    # What gRPC says itself comes on a way of its own, and may come last.
    (refused,) = (line for line in lines if line["event"] == "start_refused")
    assert address in refused["problems"][0]
