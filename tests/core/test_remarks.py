"""Remarks on a measurement are told apart by kind; the one that explains the others is found."""

import pytest

from otpc_policy.core.remarks import RemarkKind, kind_of_remark, root_causes


@pytest.mark.parametrize("kind", RemarkKind)
def test_a_remark_is_of_the_kind_whose_phrase_it_has(kind: RemarkKind) -> None:
    for phrase in kind.value:
        assert kind_of_remark(f"the server, {phrase} and so on") is kind


def test_other_sentences_are_of_no_kind() -> None:
    assert kind_of_remark("") is None
    assert kind_of_remark("the moon is full") is None


def test_the_first_kind_explains_the_others() -> None:
    closed = f"{RemarkKind.EVERY_CLOSED.phrase} (9 connections)"
    seen = ("some refusals prove nothing, because", closed, "which certificate is given to curl")
    assert root_causes(seen) == (RemarkKind.EVERY_CLOSED, (closed,))
    assert root_causes(("the moon is full", *seen))[0] is RemarkKind.EVERY_CLOSED
    assert root_causes(("the moon is full",)) == (None, ("the moon is full",))
    assert root_causes(()) == (None, ())


def test_remarks_of_one_kind_stay_together_and_each_is_said_once() -> None:
    seen = ("protocol violation: a", "protocol violation: b", "protocol violation: a")
    assert root_causes(seen) == (RemarkKind.VIOLATION, seen[:2])
