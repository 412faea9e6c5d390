"""The partners of this process, from the folder that the settings name."""

import gc
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from otpc_policy.errors import ConfigurationError
from otpc_policy.partners.document import PartnerDocument, read_partner_document
from otpc_policy.partners.index import PartnerIndex
from otpc_policy.policy.model import PolicySet
from otpc_policy.server.folders import documents_in


class PartnerReader:
    """Reads a folder of partner documents, again and again: a document that has not changed is not decoded again."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[tuple[str, bytes], PartnerDocument] = {}

    def read(self) -> PartnerIndex:
        """Return all partners. Raises ConfigurationError with the problems of every document."""
        if self._folder is None:
            return PartnerIndex()
        with _collector_at_rest():
            return self._read(self._folder)

    def _read(self, folder: Path) -> PartnerIndex:
        problems: list[str] = []
        documents: dict[tuple[str, bytes], PartnerDocument] = {}
        for path in documents_in(folder, "partners_dir"):
            place = str(path)
            try:
                # Unbuffered: a small file is read whole in one piece, and there may be thousands.
                with open(place, "rb", buffering=0) as file:
                    content = file.readall()
                key = (place, hashlib.sha256(content).digest())
                documents[key] = self._known.get(key) or read_partner_document(content.decode("utf-8"), place)
            except OSError as error:
                problems.append(f"{path}: {error.strerror or 'cannot be read'}")
            except UnicodeDecodeError:
                problems.append(f"{path}: is not UTF-8")
            except ConfigurationError as error:
                problems.extend(error.problems)
        if problems:
            raise ConfigurationError(problems)
        # Only now: what was refused must not push out what is in use.
        self._known = documents
        return PartnerIndex(tuple(documents.values()))


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
