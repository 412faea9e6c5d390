"""Partner entries for tests: a good one, of which a test changes what matters."""

from otpc_policy.catalog.partners.document import PartnerDocument, read_partner_document
from otpc_policy.catalog.partners.index import PartnerIndex

PIN = "ab" * 32
HEAD = 'id = "bank"\nowner = "onboarding@example.com"\nendpoints = ["api.bank.example"]\n'
WAIVER = """\
[[waivers]]
code = "CERTIFICATE_EXPIRED"
reason = "change window"
owner = "onboarding@example.com"
ends = 2027-03-01T00:00:00Z
"""
TRUSTED = f"""\
[[trusted]]
certificate_sha256 = "{PIN}"
note = "agreed"
ends = 2027-03-01T00:00:00Z
"""


def document(text: str, place: str = "bank.toml") -> PartnerDocument:
    """Read a document."""
    return read_partner_document(text, place)


def index(*texts: str) -> PartnerIndex:
    """Index documents, which are called 0.toml, 1.toml and so on."""
    return PartnerIndex([document(text, f"{number}.toml") for number, text in enumerate(texts)])


def entry(partner_id: str, *endpoints: str, rest: str = "") -> str:
    """Return the document of one partner. rest: further lines of the entry."""
    quoted = ", ".join(f'"{endpoint}"' for endpoint in endpoints)
    head = f'id = "{partner_id}"\nowner = "onboarding@example.com"\n'
    return f"{head}endpoints = [{quoted}]\n{rest}"
