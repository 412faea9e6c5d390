"""Mutations follow the code; running them takes minutes and is done by hand."""

from pathlib import Path

import pytest

from tests.supply.mutations import MUTATIONS, ROOT, Mutation, is_caught, mutated

pytestmark = pytest.mark.long

TABLE = ROOT / "docs" / "mutations.md"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name)
def test_each_mutation_still_changes_its_module_and_leaves_it_a_program(mutation: Mutation) -> None:
    source = (ROOT / mutation.folder / mutation.file).read_text(encoding="utf-8")
    changed = mutated(mutation, source)
    assert changed != source
    compile(changed, mutation.file, "exec")


def test_the_documented_table_has_every_mutation_and_each_was_caught() -> None:
    rows = TABLE.read_text(encoding="utf-8").splitlines()
    for each in MUTATIONS:
        assert f"| {each.name} | `{each.folder}/{each.file}` | `{each.test}` | yes |" in rows


def test_a_mutation_that_no_longer_fits_is_an_error() -> None:
    mutation = Mutation(name="lost", file="some.py", old="if old:", new="if False:", test="")
    with pytest.raises(ValueError, match=r"some\.py no longer has"):
        mutated(mutation, "if new:\n")


@pytest.mark.parametrize(
    ("new", "test", "caught"),
    [
        ("return False", "test_it", True),
        ("return not False", "test_it", False),  # it does nothing
        ("return False", "test_something_else", False),
        ("return (", "test_it", False),  # no program: the test could not be run
        ("return False", "test_that_always_fails", False),
    ],
)
def test_caught_is_a_test_that_passes_with_the_control_and_fails_without_it(
    tmp_path: Path, new: str, test: str, caught: bool
) -> None:
    (tmp_path / "otpc_policy").mkdir()
    module = tmp_path / "otpc_policy" / "control.py"
    module.write_text("def holds():\n    return True\n")
    (tmp_path / "otpc_policy" / "__init__.py").touch()
    (tmp_path / "test_control.py").write_text(
        "from otpc_policy.control import holds\n\n"
        "def test_it():\n    assert holds()\n\n"
        "def test_something_else():\n    pass\n\n"
        "def test_that_always_fails():\n    assert False\n"
    )
    mutation = Mutation(
        name="removed",
        file="control.py",
        old="return True",
        new=new,
        test=f"test_control.py::{test}",
    )
    assert is_caught(mutation, tmp_path) is caught
    assert module.read_text() == "def holds():\n    return True\n"
