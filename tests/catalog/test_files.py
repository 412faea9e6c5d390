"""Documents on disk: which files they are, and their text."""

from pathlib import Path

import pytest

from otpc_policy.catalog.files import decode_text, documents_in, read_text
from otpc_policy.core.errors import ConfigurationError
from tests.catalog.reloading import MountedFolder


def test_the_documents_of_a_folder_are_its_visible_toml_files(tmp_path: Path) -> None:
    for name in ("b.toml", "a.toml", ".hidden.toml", "c.toml~", "notes.md"):
        (tmp_path / name).write_text("x = 1\n")
    (tmp_path / "folder.toml").mkdir()
    found = documents_in(tmp_path, "partners_dir")
    assert found == [str(tmp_path / "a.toml"), str(tmp_path / "b.toml")]


def test_a_mounted_config_map_is_a_folder_of_links(tmp_path: Path) -> None:
    mounted = MountedFolder(tmp_path / "mounted")
    mounted.swap(one="a")
    assert documents_in(mounted.path, "partners_dir") == [str(mounted.path / "one.toml")]


def test_a_folder_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"partners_dir: .*: contains no documents"):
        documents_in(tmp_path, "partners_dir")
    with pytest.raises(ConfigurationError, match=r"partners_dir: .*: No such file"):
        documents_in(tmp_path / "missing", "partners_dir")


@pytest.mark.parametrize("start", ["#", "##"])
def test_a_long_file_is_read_whole_wherever_a_chunk_cuts_a_character(
    tmp_path: Path, start: str
) -> None:
    text = start + "ü" * 100_000
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    assert read_text(str(tmp_path / "a.toml")) == text


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xff")
    for name, reason in (("a.toml", "is not UTF-8"), ("b.toml", "No such file or directory")):
        with pytest.raises(ConfigurationError) as raised:
            read_text(str(tmp_path / name))
        assert raised.value.problems == (f"{tmp_path}/{name}: {reason}",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("id = 1\n".encode("utf-16-le"), "is UTF-16LE, not UTF-8; save it as UTF-8"),
        (b"\xff\xfe" + "é = 1\n".encode("utf-16-le"), "is UTF-16LE, not UTF-8; save it as UTF-8"),
        (b"\xfe\xff" + "id = 1\n".encode("utf-16-be"), "is UTF-16BE, not UTF-8; save it as UTF-8"),
        (b"\x30\x82\x01\xff", "is not UTF-8; this is DER, so: openssl x509 -inform DER -in a.pem"),
        ("é = 1".encode("latin-1"), "is not UTF-8"),
    ],
)
def test_another_encoding_is_named(content: bytes, reason: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        decode_text(content, "a.pem")
    assert raised.value.problems == (f"a.pem: {reason}",)


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert decode_text(b"\xef\xbb\xbfid = 1\r\n", "a.toml") == "id = 1\r\n"
