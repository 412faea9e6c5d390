"""The reader of a folder of partners: whole files, problems in the order of the files, and nothing kept of what has changed."""

from pathlib import Path

import pytest

from otpc_policy.catalog.partners.folder import PartnerReader
from otpc_policy.errors import ConfigurationError
from tests.catalog.reloading import BAD, GOOD


def test_every_problem_is_told_in_the_order_of_the_files(tmp_path: Path) -> None:
    for name in ("a", "d"):
        (tmp_path / f"{name}.toml").write_text(BAD)
    (tmp_path / "b.toml").write_bytes(b'id = "\xff"\n')
    # A file like any other, but nothing is there at its beginning.
    (tmp_path / "c.toml").symlink_to("/proc/self/mem")
    with pytest.raises(ConfigurationError) as raised:
        PartnerReader(tmp_path).read()
    assert raised.value.problems == (
        f"{tmp_path}/a.toml:3: owner: 7 is not a text that says something",
        f"{tmp_path}/b.toml: is not UTF-8",
        f"{tmp_path}/c.toml: Input/output error",
        f"{tmp_path}/d.toml:3: owner: 7 is not a text that says something",
    )


@pytest.mark.parametrize("start", ["#", "##"])
def test_a_long_file_is_read_to_its_end_wherever_a_character_is_cut(
    tmp_path: Path, start: str
) -> None:
    text = f"{GOOD}{start}{'ü' * 100_000}"
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    (document,) = PartnerReader(tmp_path).read().documents
    assert document.text == text


def test_a_document_that_changed_and_kept_its_length_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    reader = PartnerReader(tmp_path)
    for name in ("bank", "bahn"):
        file.write_text(GOOD.replace("bank", name))
        assert [one.id for one in reader.read().partners] == [name]
