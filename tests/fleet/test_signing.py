"""The fleet's key: what a file of keys may hold, and what a signature is bound to."""

from pathlib import Path

import pytest

from otpc_policy.core.errors import ConfigurationError
from otpc_policy.fleet.signing import FleetKey

ONE, TWO = bytes(range(32)), bytes(range(1, 33))


def key_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_the_first_key_signs_and_all_are_accepted(tmp_path: Path) -> None:
    text = f"# since March\n{TWO.hex()}  # new\n\n{ONE.hex().upper()}\n"
    both = FleetKey.read(key_file(tmp_path, text))
    assert both.open(FleetKey([ONE]).seal(b"content", place="here"), place="here") == b"content"
    sealed = both.seal(b"content", place="here")
    assert FleetKey([TWO]).open(sealed, place="here") == b"content"
    assert FleetKey([ONE]).open(sealed, place="here") is None


def test_a_record_is_none_anywhere_else() -> None:
    key = FleetKey([ONE])
    # What moves from the place into the content, or back, is another record.
    for place, content in (("her", b"econtent"), ("herec", b"ontent"), ("", b"herecontent")):
        assert key.open(key.seal(b"content", place="here")[:32] + content, place=place) is None
    assert key.open(b"", place="here") is None


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ("", 0o600, "holds 0 keys"),
        ("# none\n", 0o600, "holds 0 keys"),
        (f"{ONE.hex()}\n" * 5, 0o600, "holds 5 keys"),
        (ONE.hex()[:62], 0o600, "at least 64 hexadecimal digits"),
        (ONE.hex() + "a", 0o600, "at least 64 hexadecimal digits"),
        ("g" * 64, 0o600, "at least 64 hexadecimal digits"),
        ("aa" * 5_000, 0o600, "too long"),
        (ONE.hex(), 0o644, "every user may read"),
    ],
)
def test_a_file_that_holds_no_keys_is_a_problem_with_its_name(
    tmp_path: Path, text: str, mode: int, expected: str
) -> None:
    path = key_file(tmp_path, text, mode)
    with pytest.raises(ConfigurationError, match=expected) as raised:
        FleetKey.read(path)
    assert raised.value.problems[0].startswith(f"fleet.key_file: {path}")
    assert ONE.hex()[:16] not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        FleetKey.read(tmp_path / "none")


def test_a_short_key_is_refused_wherever_it_comes_from() -> None:
    for keys in ([], [b"short"], [ONE, b"short"]):
        with pytest.raises(ValueError, match="at least 32 bytes"):
            FleetKey(keys)
