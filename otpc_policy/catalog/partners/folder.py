"""The partners of this process, from the folder that the settings name."""

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from otpc_policy.catalog.partners.document import PartnerDocument, read_partner_document
from otpc_policy.catalog.partners.index import PartnerIndex
from otpc_policy.catalog.watch import places_in
from otpc_policy.errors import ConfigurationError
from otpc_policy.policy.model import PolicySet

# Nearly every file is one piece.
_PIECE = 65536


class PartnerReader:
    """Reads a folder of partner documents, again and again: a document that has not changed is not decoded again."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[str, PartnerDocument] = {}

    def read(self) -> PartnerIndex:
        """Return all partners. Raises ConfigurationError with the problems of every document."""
        if self._folder is None:
            return PartnerIndex()
        with _collector_at_rest():
            return self._read(self._folder)

    def _read(self, folder: Path) -> PartnerIndex:
        texts: dict[str, str] = {}
        documents: dict[str, PartnerDocument] = {}
        problems: dict[str, Sequence[str]] = {}
        # All files before the first document: taken in turn, reading and parsing push each other out of the processor's caches. A tenth of the time.
        for place in places_in(folder, "partners_dir"):
            try:
                texts[place] = _text(place)
            except OSError as error:
                problems[place] = [f"{place}: {error.strerror or 'cannot be read'}"]
            except UnicodeDecodeError:
                problems[place] = [f"{place}: is not UTF-8"]
        for place, text in texts.items():
            try:
                documents[place] = self._document(text, place)
            except ConfigurationError as error:
                problems[place] = error.problems
        if problems:
            raise ConfigurationError(
                [problem for place in sorted(problems) for problem in problems[place]]
            )
        # Only now: what was refused must not push out what is in use.
        self._known = documents
        return PartnerIndex(tuple(documents.values()))

    def _document(self, text: str, place: str) -> PartnerDocument:
        known = self._known.get(place)
        return (
            known
            if known is not None and known.text == text
            else read_partner_document(text, place)
        )


def _text(place: str) -> str:
    """Return what a file says. A file object calls the system seven times for a small file, this four times, and there may be thousands."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        pieces = []
        while piece := os.read(descriptor, _PIECE):
            pieces.append(piece)
        return b"".join(pieces).decode("utf-8")
    finally:
        os.close(descriptor)


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Let the garbage collector wait: it would walk over hundreds of thousands of new values, again and again, and all are kept. A fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def unknown_policies(partners: PartnerIndex, policies: PolicySet) -> Iterator[str]:
    """Yield a problem for each entry that names a policy which is not loaded."""
    for document in partners.documents:
        for partner in document.partners:
            if partner.policy and partner.policy not in policies.policies:
                names = ", ".join(sorted(policies.policies))
                yield f"{document.place_of(partner, 'policy')}: policy: no policy is named {partner.policy!r}; there are {names}"
