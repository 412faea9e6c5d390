"""The core stays small: what it may import, and that importing it reads no data."""

import ast
import subprocess
import sys
from pathlib import Path

import otpc_policy.core

CORE = Path(otpc_policy.core.__file__).parent
ALLOWED = sys.stdlib_module_names | {"idna", "pydantic", "pydantic_core"}
# The standard library's own ways out of the process.
IO = {"asyncio", "http", "multiprocessing", "os", "pathlib", "selectors", "socket", "ssl"}
IO |= {"subprocess", "tempfile", "threading", "time", "urllib"}


def test_the_core_imports_the_standard_library_idna_and_pydantic_only() -> None:
    for path in sorted(CORE.rglob("*.py")):
        modules = {
            name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for name in _imported(node)
            if not name.startswith("otpc_policy.core")
        }
        roots = {name.partition(".")[0] for name in modules}
        assert roots <= ALLOWED, path
        assert not roots & IO, path


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0
        return [node.module or ""]
    return []


def test_no_data_file_is_read_before_it_is_asked_for() -> None:
    modules = sorted(
        ".".join(path.relative_to(CORE.parent.parent).with_suffix("").parts)
        for path in CORE.rglob("*.py")
    )
    script = f"""
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
for module in {modules}:
    __import__(module)
from otpc_policy.core.registries.suites import all_suites
data = [path for path in opened if path.endswith((".csv", ".toml"))]
assert not data, data
assert all_suites() and all_suites()
assert sum(path.endswith(".csv") for path in opened) == 4, opened
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
