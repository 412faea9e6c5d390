"""Files that are replaced under a process that may not open new ones."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from otpc_policy.engine import replaced_files
from otpc_policy.engine.replaced_files import until_replaced

# A file that is replaced under /etc is out of reach for a test, so the engine watches this one.
_ENGINE = """
import asyncio, sys
from pathlib import Path
from otpc_policy.engine import isolation, program
hosts = Path(sys.argv[1])
program.NAMES = (hosts,)
isolation.forbid_new_privileges()
try:
    isolation.confine_files(readable=(hosts,))
except isolation.IsolationUnavailable:
    sys.exit(77)
stopping = program.Stopping()
print("ready", flush=True)
asyncio.run(program._end_where_names_are_replaced(stopping, has_others=False))
print(stopping.is_to_be_replaced, stopping.soon.is_set(), stopping.now.is_set())
"""


def test_an_engine_ends_once_a_file_about_names_is_replaced(tmp_path: Path) -> None:
    hosts, new = tmp_path / "hosts", tmp_path / "hosts.new"
    hosts.write_text("127.0.0.1 a.test\n")
    command = [sys.executable, "-P", "-c", _ENGINE, str(hosts)]
    with subprocess.Popen(command, stdout=-1, text=True) as engine:
        assert engine.stdout is not None
        if engine.stdout.readline() != "ready\n":
            pytest.skip("the kernel lacks Landlock")
        hosts.write_text("127.0.0.1 a.test b.test\n")  # the same file: that is no reason
        with pytest.raises(subprocess.TimeoutExpired):
            engine.wait(3)
        new.write_text("127.0.0.1 c.test\n")
        new.rename(hosts)
        assert engine.stdout.read().splitlines()[-1] == "True True False"


async def test_what_is_missing_or_was_never_readable_is_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaced_files, "_LOOK_S", 0.01)
    forbidden = {tmp_path / "forbidden"}
    monkeypatch.setattr(replaced_files, "_is_forbidden", forbidden.__contains__)
    paths = [tmp_path / name for name in ("forbidden", "missing", "later")]
    waiting = asyncio.create_task(until_replaced(paths))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    forbidden.add(tmp_path / "later")
    assert await waiting == tmp_path / "later"
