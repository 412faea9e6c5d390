"""Lines of several threads stay whole on one stream, whatever mode it is in."""

import os
import threading
from pathlib import Path

import pytest

from otpc_policy.ops.line_writer import LineWriter


@pytest.mark.parametrize("is_blocking", [True, False])
def test_lines_of_several_writers_stay_whole(is_blocking: bool) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, is_blocking)
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "w") as stream:
        writer = LineWriter(stream)
        batches = [f"{letter * 3_000}\n" * 50 for letter in "abcd"]
        threads = [threading.Thread(target=writer.write, args=(batch,)) for batch in batches]
        for thread in threads:
            thread.start()
        lines = [pipe.readline() for _ in range(200)]
        for thread in threads:
            thread.join()
    assert {len(set(line)) for line in lines} == {2}
    assert {len(line) for line in lines} == {3_001}


def test_a_line_after_one_that_was_cut_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, allowed = tmp_path / "log", os.write, [4]

    def short(descriptor: int, content: bytes) -> int:
        if not allowed[0]:
            raise OSError("No space left on device")
        taken, allowed[0] = allowed[0], 0
        return real(descriptor, content[:taken])

    with path.open("w") as stream:
        writer = LineWriter(stream)
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", short)
            with pytest.raises(OSError, match="No space"):
                writer.write("a whole line\n")
            with pytest.raises(OSError, match="No space"):
                writer.write("another\n")
        writer.write("the next\n")
    assert path.read_text() == "a wh\nthe next\n"
