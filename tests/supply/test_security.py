"""What SECURITY.md names as controls and as their tests exists."""

import os
import re
import subprocess
import sys

from tests.supply.mutations import MUTATIONS, ROOT


def rows() -> list[tuple[str, list[str], list[str]]]:
    """Return threat, paths of controls and node ids of tests of each row."""
    found = []
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    section = text.split("## Threats, controls, tests\n")[1].split("\n## ")[0]
    for line in section.splitlines():
        if not line.startswith("| ") or line.startswith("| threat |"):
            continue
        threat, control, test = line.strip("| ").split(" | ")
        paths = re.findall(r"`([\w.-]+/[^`]+|Dockerfile|[\w.-]+\.(?:toml|txt))`", control)
        found.append((threat, paths, re.findall(r"`(tests/[^`]+::[^`]+)`", test)))
    return found


def test_each_threat_has_a_control_that_exists_and_a_test() -> None:
    assert len(rows()) >= 40
    for threat, paths, tests in rows():
        assert paths, threat
        assert tests, threat
        for path in paths:
            assert (ROOT / path).is_file(), f"{threat}: {path}"


def test_every_test_that_is_named_can_be_collected() -> None:
    named = sorted({test for _, _, tests in rows() for test in tests})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *named],
        cwd=ROOT,
        # Without it the tests of the service alone (make test-front) cannot be collected.
        env={**os.environ, "OTPC_ENGINE_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_what_was_shown_by_removing_a_control_is_in_the_table() -> None:
    pairs = {(path, test) for _, paths, tests in rows() for path in paths for test in tests}
    for each in MUTATIONS:
        assert (f"{each.folder}/{each.file}", each.test) in pairs, each.name


def test_old_openssl_in_the_workers_is_among_the_threats() -> None:
    assert any("OpenSSL 1.1.1 and 1.0.2" in threat for threat, _, _ in rows())
