"""What is installed is held to hashes, and no version is pinned that is known to be bad."""

import re
from pathlib import Path

import pytest

from supply.audit import Denial, problems, problems_of_pins, read_denied, release
from supply.pins import Pin, read_pins

ROOT = Path(__file__).parents[2]
HASH = "--hash=sha256:" + "0a" * 32
DENIALS = [
    Denial(package="some", below="1.10", source="its advisory", accepted_in={"dev.txt": "a test"})
]


def pinned(tmp_path: Path, text: str) -> list[Pin]:
    path = tmp_path / "constraints.txt"
    path.write_text(text)
    return read_pins(path)


def some(version: str) -> Pin:
    return Pin(name="some", version=version, marker="", sha256=("0a" * 32,))


def test_everything_that_is_pinned_passes() -> None:
    assert problems(denied=read_denied()[1]) == []


def test_a_pin_is_read_with_marker_and_hashes(tmp_path: Path) -> None:
    text = f'Some_Name==1.2 ; python_version < "3.14" \\\n    {HASH} \\\n    {HASH}\n    # via x\n'
    assert pinned(tmp_path, text) == [
        Pin(
            name="some-name",
            version="1.2",
            marker='python_version < "3.14"',
            sha256=("0a" * 32, "0a" * 32),
        )
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "some==1.2\n",
        f"some>=1.2 {HASH}\n",
        f"some {HASH}\n",
        "some==1.2 --hash=md5:" + "0a" * 16,
        f"some==1.2 {HASH} --hash=sha256:00",
        f"some==1.2 {HASH}\nSome==1.3 {HASH}\n",
        f"--index-url=https://registry.test/simple\nsome==1.2 {HASH}\n",
        "some @ https://registry.test/some.whl\n",
        "-e .\n",
    ],
)
def test_whatever_else_a_constraints_file_holds_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"^constraints\.txt: "):
        pinned(tmp_path, text)


@pytest.mark.parametrize(
    ("version", "is_denied"),
    [("1.9", True), ("1.9.post3", True), ("1.10", False), ("1.10.0", False), ("1.10.post1", False)],
)
def test_versions_are_compared_as_numbers(version: str, is_denied: bool) -> None:
    assert bool(problems_of_pins("run.txt", [some(version)], DENIALS)) is is_denied


def test_what_cannot_be_compared_is_a_problem_and_what_is_accepted_is_not() -> None:
    assert problems_of_pins("run.txt", [some("1.10rc1")], DENIALS)
    assert problems_of_pins("dev.txt", [some("1.9")], DENIALS) == []


def test_a_denial_without_a_bound_is_for_every_version() -> None:
    denial = Denial(package="some", below="", source="its advisory", accepted_in={})
    assert problems_of_pins("run.txt", [some("999")], [denial])


def test_the_list_names_its_date_its_sources_and_files_that_exist() -> None:
    as_of, denied = read_denied()
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", as_of)
    for denial in denied:
        assert denial.source
        assert not denial.below or release(denial.below)
        assert all((ROOT / file).is_file() for file in denial.accepted_in)
        assert "constraints.txt" not in denial.accepted_in


def test_the_image_installs_nothing_that_is_not_held_to_a_hash() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    installs = [line for line in lines if re.search(r"\bpip\b.*\binstall\b", line)]
    assert installs
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)


def test_every_exception_from_the_security_rules_has_a_reason() -> None:
    exceptions = [
        line
        for path in (ROOT / "otpc_policy").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"# noqa: .*\bS\d", line)
    ]
    assert exceptions
    for line in exceptions:
        assert re.search(r"# noqa: [A-Z0-9, ]+?(  # | - )\w", line), line
