"""Mutations follow the code; running them takes minutes and is done by hand."""

import pytest

from tests.supply.mutations import MUTATIONS, ROOT, Mutation, mutated

TABLE = ROOT / "docs" / "mutations.md"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name)
def test_each_mutation_still_changes_its_module_and_leaves_it_a_program(mutation: Mutation) -> None:
    source = (ROOT / "otpc_policy" / mutation.file).read_text(encoding="utf-8")
    changed = mutated(mutation, source)
    assert changed != source
    compile(changed, mutation.file, "exec")


def test_the_documented_table_has_every_mutation_and_each_was_caught() -> None:
    rows = TABLE.read_text(encoding="utf-8").splitlines()
    for each in MUTATIONS:
        assert f"| {each.name} | `otpc_policy/{each.file}` | `{each.test}` | yes |" in rows
