"""Writes the golden renders again: python -m tests.deploy.golden (make chart-files does it)."""

from tests.deploy.rendering import ROOT, VALUES, rendered

GOLDEN = ROOT / "tests/deploy/golden"

if __name__ == "__main__":
    for old in GOLDEN.glob("*.yaml"):
        old.unlink()
    for values in VALUES:
        (GOLDEN / f"{values}.yaml").write_text(rendered(values), encoding="utf-8")
