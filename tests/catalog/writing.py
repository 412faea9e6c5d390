"""Partner entries for tests: a good one, of which a test changes what matters."""

from otpc_policy.catalog.partners.document import PartnerDocument, read_partner_document
from otpc_policy.catalog.partners.index import PartnerIndex

PIN = "ab" * 32
HEAD = 'id = "bank"\nowner = "onboarding@example.com"\nendpoints = ["api.bank.example"]\n'
WAIVER = '[[waivers]]\ncode = "CERTIFICATE_EXPIRED"\nreason = "change window"\nowner = "onboarding@example.com"\nends = 2027-03-01T00:00:00Z\n'
TRUSTED = f'[[trusted]]\ncertificate_sha256 = "{PIN}"\nnote = "agreed"\nends = 2027-03-01T00:00:00Z\n'


def document(text: str, place: str = "bank.toml") -> PartnerDocument:
    """Read a document."""
    return read_partner_document(text, place)


def index(*texts: str) -> PartnerIndex:
    """Index documents, which are called 0.toml, 1.toml and so on."""
    return PartnerIndex([document(text, f"{number}.toml") for number, text in enumerate(texts)])


def entry(partner_id: str, *endpoints: str, rest: str = "") -> str:
    """Return the document of one partner."""
    listed = ", ".join(f'"{one}"' for one in endpoints)
    return f'id = "{partner_id}"\nowner = "onboarding@example.com"\nendpoints = [{listed}]\n{rest}'
