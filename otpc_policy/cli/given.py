"""Refusals in the words of the user: a file or an option, not a field of a request."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from otpc_policy.core.errors import FieldViolation, InvalidRequest


@contextmanager
def in_words_of(given: Mapping[str, str]) -> Iterator[None]:
    """Rename the fields of an InvalidRequest, whoever refused: this process or a service.

    given: what the user wrote, by the field that it became.
    """
    try:
        yield
    except InvalidRequest as error:
        raise InvalidRequest(
            [
                FieldViolation(given.get(violation.field, violation.field), violation.description)
                for violation in error.violations
            ]
        ) from None
