"""The partners in a folder of documents."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from otpc_policy.catalog.files import documents_in, read_text
from otpc_policy.catalog.partners.document import PartnerDocument, read_partner_document
from otpc_policy.catalog.partners.index import PartnerIndex
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.policy.model import PolicySet


class PartnerFolder:
    """Reads a folder of partner documents again and again; unchanged documents are kept.

    read: reads a document. Raises ConfigurationError.
    """

    def __init__(self, folder: Path | None, read: Callable[[str], str] = read_text) -> None:
        self._folder, self._read = folder, read
        self._known: dict[str, PartnerDocument] = {}

    def read(self) -> PartnerIndex:
        """Return all partners, none without a folder.

        Raises ConfigurationError with the problems of every document.
        """
        if self._folder is None:
            return PartnerIndex()
        texts: dict[str, str] = {}
        documents: dict[str, PartnerDocument] = {}
        problems: dict[str, Sequence[str]] = {}
        # All files are read before any is parsed: alternating takes a tenth longer.
        for place in documents_in(self._folder, "partners_dir"):
            try:
                texts[place] = self._read(place)
            except ConfigurationError as error:
                problems[place] = error.problems
        for place, text in texts.items():
            try:
                documents[place] = self._document(text, place)
            except ConfigurationError as error:
                problems[place] = error.problems
        if problems:
            raise ConfigurationError(
                [problem for place in sorted(problems) for problem in problems[place]]
            )
        # Only now: a refused set must not displace what is in use.
        self._known = documents
        return PartnerIndex(tuple(documents.values()))

    def _document(self, text: str, place: str) -> PartnerDocument:
        known = self._known.get(place)
        if known is not None and known.text == text:
            return known
        return read_partner_document(text, place)


def unknown_policies(partners: PartnerIndex, policies: PolicySet) -> Iterator[str]:
    """Yield a problem for each entry that names a policy which is not loaded."""
    names = ", ".join(sorted(policies.policies))
    for document in partners.documents:
        for partner in document.partners:
            if partner.policy and partner.policy not in policies.policies:
                place = document.place_of(partner, "policy")
                yield (
                    f"{place}: policy: no policy is named {partner.policy!r}; "
                    f"expected one of {names}"
                )
