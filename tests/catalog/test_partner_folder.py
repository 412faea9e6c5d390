"""A folder of partners: problems in the order of its files, and no document kept that changed."""

from pathlib import Path

import pytest

from otpc_policy.catalog.partners.folder import PartnerFolder
from otpc_policy.core.errors import ConfigurationError
from tests.catalog.reloading import BAD, GOOD


def test_every_problem_is_reported_in_the_order_of_the_files(tmp_path: Path) -> None:
    for name in ("a", "d"):
        (tmp_path / f"{name}.toml").write_text(BAD)
    (tmp_path / "b.toml").write_bytes(b'id = "\xff"\n')
    # It can be opened, and reading its start fails.
    (tmp_path / "c.toml").symlink_to("/proc/self/mem")
    with pytest.raises(ConfigurationError) as raised:
        PartnerFolder(tmp_path).read()
    assert raised.value.problems == (
        f"{tmp_path}/a.toml:3: owner: must be text",
        f"{tmp_path}/b.toml: is not UTF-8",
        f"{tmp_path}/c.toml: Input/output error",
        f"{tmp_path}/d.toml:3: owner: must be text",
    )


def test_a_document_that_changed_but_not_in_length_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    folder = PartnerFolder(tmp_path)
    for name in ("bank", "bahn"):
        file.write_text(GOOD.replace("bank", name))
        assert [partner.id for partner in folder.read().partners] == [name]
