"""A chain finds what was cut, changed, inserted or moved; and says what it cannot find."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from otpc_policy.ops.audit.chain import Link, Verification
from otpc_policy.ops.audit.file_sink import FileSink, head_path, read_head
from otpc_policy.ops.audit.schema import line_of


def line(text: str) -> str:
    return line_of("info", "decision", {"text": text, "findings": []})


def write(path: Path, *texts: str) -> FileSink:
    """Write lines to a file, each in a batch of its own, and close it."""
    sink = FileSink(path)
    for text in texts:
        sink.write(line(text))
    sink.close()
    return sink


def verified(*files: Path, anchors: tuple[Link, ...] = (), head: bool = True) -> Verification:
    beside = head_path(files[-1])
    known = read_head(beside.read_bytes()) if head and beside.exists() else None
    found = Verification(anchors if known is None else (known, *anchors))
    for file in files:
        content = file.read_bytes()
        found.follow(
            file.name,
            content.removesuffix(b"\n").split(b"\n") if content else [],
            is_torn=not content.endswith(b"\n"),
        )
    found.end()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def test_an_intact_file_has_no_findings_and_goes_on_after_a_restart(path: Path) -> None:
    write(path, "a", "b")
    write(path, "c", 'ü\\"}, ')
    found = verified(path)
    assert found.findings == []
    lines = [json.loads(one) for one in path.read_bytes().splitlines()]
    assert [one["seq"] for one in lines] == [1, 2, 3, 4, 5]
    assert lines[0]["event"] == "audit_file_started"
    assert (found.last, found.lines) == (Link(5, lines[-1]["chain"]), 5)
    assert path.stat().st_mode & 0o777 == 0o600


Change = Callable[[list[bytes]], list[bytes]]


def _exchange(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[3], lines[2], *lines[4:]]


def _other_hash(lines: list[bytes]) -> list[bytes]:
    digit = b"1" if lines[2].endswith(b'0"}') else b"0"
    return [*lines[:2], lines[2][:-3] + digit + b'"}', *lines[3:]]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda lines: [*lines[:2], lines[2].replace(b'"c"', b'"x"'), *lines[3:]], "was changed"),
        (lambda lines: [*lines[:2], *lines[3:]], "line 3 is missing"),
        (lambda lines: [*lines[:1], *lines[4:]], "lines 2 to 4 are missing"),
        (_exchange, "moved or repeated"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], "moved or repeated"),
        (lambda lines: lines[1:], "what stood before it is cut"),
        (lambda lines: [*lines[:3], b'{"schema":1,"event":"decision"}', *lines[3:]], "inserted"),
        (lambda lines: [*lines[:3], b"", *lines[3:]], "inserted"),
        (lambda lines: lines[:-1], "missing: line 6 is known to exist"),
        (lambda lines: lines[:1], "lines 2 to 6 are missing"),
        (lambda lines: [*lines[:-1], lines[-1][:-10]], "inserted, cut or changed"),
        (lambda lines: [*lines[:2], lines[2].replace(b'"info"', b'"info" '), *lines[3:]], "change"),
        (_other_hash, "was changed"),
        (lambda _lines: [], "is empty"),
    ],
)
def test_whatever_is_done_to_a_file_is_found(path: Path, change: Change, found: str) -> None:
    write(path, "b", "c", "d", "e", "f")
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"".join(one + b"\n" for one in change(lines)))
    texts = [finding.text for finding in verified(path).findings]
    assert any(found in text for text in texts), texts


def test_every_bit_of_a_line_counts(path: Path) -> None:
    write(path, "b", "c")
    content = path.read_bytes()
    start = content.index(b"\n") + 1
    for at in range(start, len(content)):
        changed = bytearray(content)
        changed[at] ^= 1
        path.write_bytes(changed)
        assert verified(path).findings, (at, bytes(changed[at - 5 : at + 5]))


def test_a_chain_computed_anew_is_found_by_an_anchor_alone(path: Path) -> None:
    write(path, "b", "c", "d")
    whole = verified(path)
    assert whole.last is not None
    path.unlink()
    head_path(path).unlink()
    write(path, "b", "x", "d")
    assert verified(path).findings == []
    (finding,) = verified(path, anchors=(whole.last,)).findings
    assert "another hash than its anchor" in finding.text


def test_an_end_that_was_cut_with_the_head_is_found_by_an_anchor_alone(path: Path) -> None:
    write(path, "b", "c", "d")
    last = verified(path).last
    assert last is not None
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    assert verified(path, head=False).findings == []
    (finding,) = verified(path, head=False, anchors=(last,)).findings
    assert "line 4 is missing" in finding.text


def test_rotation_by_rename_goes_on_in_the_next_file_whether_or_not_anybody_says_so(
    path: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "audit.jsonl.2", tmp_path / "audit.jsonl.1"
    sink = FileSink(path)
    sink.write(line("a"))
    path.rename(first)
    sink.reopen()
    sink.write(line("b"))
    path.rename(second)
    sink.write(line("c"))
    sink.close()
    assert verified(first, second, path).findings == []
    # A file that was rotated says where it ends, so its end cannot be cut unnoticed.
    assert verified(first).is_ended
    assert not verified(path).is_ended
    texts = [finding.text for finding in verified(first, path).findings]
    assert any("are missing before this one" in text for text in texts)
    # And each states the hash that it goes on from.
    assert verified(second).findings == []


def test_a_file_rotated_while_nothing_ran_is_continued(path: Path, tmp_path: Path) -> None:
    rotated = tmp_path / "audit.jsonl.1"
    write(path, "a")
    path.rename(rotated)
    write(path, "b")
    assert verified(rotated, path).findings == []


def test_what_is_cut_while_the_service_runs_or_stands_is_noted_in_the_file(path: Path) -> None:
    sink = FileSink(path)
    sink.write(line("a"))
    sink.write(line("b"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    sink.write(line("c"))
    sink.close()
    events = [json.loads(one)["event"] for one in path.read_bytes().splitlines()]
    assert events == ["audit_file_started", "decision", "audit_file_changed", "decision"]
    assert any("line 3 is missing" in one.text for one in verified(path).findings)

    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    write(path, "d")
    assert b"audit_file_cut" in path.read_bytes()
    assert any("line 5 is missing" in one.text for one in verified(path).findings)


def test_a_line_that_a_crash_cut_is_found_and_the_chain_goes_on(path: Path) -> None:
    write(path, "a")
    with path.open("ab") as opened:
        opened.write(b'{"schema":1,"ti')
    write(path, "b")
    found = verified(path)
    (finding,) = found.findings
    assert (finding.place, "not a whole line" in finding.text) == ("audit.jsonl:3", True)
    assert found.last is not None
    assert found.last.seq == 4


def test_two_processes_cannot_write_one_file(path: Path) -> None:
    sink = FileSink(path)
    sink.open()
    with pytest.raises(OSError, match="another process writes"):
        FileSink(path).open()
    sink.close()
    FileSink(path).open()


def test_a_full_disk_leaves_whole_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    sink = FileSink(path)
    sink.write(line("a"))
    real, budget = os.write, [20]

    def short(descriptor: int, content: bytes) -> int:
        if not budget[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken, budget[0] = budget[0], 0
        return real(descriptor, content[:taken])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", short)
        with pytest.raises(OSError, match="No space"):
            sink.write(line("b"))
    sink.write(line("c"))
    sink.close()
    assert verified(path).findings == []
    assert [json.loads(one).get("text") for one in path.read_bytes().splitlines()] == [
        None,
        "a",
        "c",
    ]


def test_a_file_without_a_chain_holds_the_lines_as_they_are(path: Path) -> None:
    sink = FileSink(path, is_chained=False)
    sink.write(line("a"))
    sink.close()
    assert "chain" not in json.loads(path.read_text())
    assert not head_path(path).exists()


def test_anchors_are_told_once_a_minute_and_at_the_end(path: Path) -> None:
    now_s, told = [0.0], []
    sink = FileSink(
        path, anchored=lambda _path, link: told.append(link.seq), monotonic=lambda: now_s[0]
    )
    for _ in range(10):
        sink.write(line("a"))
        now_s[0] += 13
    sink.close()
    assert told == [7, 11]


@pytest.mark.parametrize(
    "text", [b"", b"\xff", b"[]", b"{}", b'{"seq": 1e999, "chain": ""}', b"[" * 100_000]
)
def test_a_head_that_says_nothing_is_as_good_as_none(text: bytes) -> None:
    assert read_head(text) is None
