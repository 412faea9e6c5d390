"""The entries that the README and the Kubernetes example show can be used as they stand."""

import re
import textwrap
from pathlib import Path

from otpc_policy.catalog.partners.index import PartnerIndex
from tests.catalog.writing import document

ROOT = Path(__file__).parent.parent.parent


def test_the_entry_in_the_readme_is_one() -> None:
    (text,) = re.findall(
        r"```toml\n(# partners/.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    (partner,) = document(text).partners
    assert (partner.id, len(partner.endpoints), len(partner.trusted), len(partner.waivers)) == (
        "example-bank",
        3,
        1,
        1,
    )


def test_the_config_map_holds_entries_that_go_together() -> None:
    manifest = (ROOT / "deploy" / "kubernetes" / "partners.yaml").read_text(encoding="utf-8")
    found = re.findall(r"^  ([a-z-]+\.toml): \|\n((?:    .*\n|\n)+)", manifest, re.MULTILINE)
    index = PartnerIndex([document(textwrap.dedent(text), name) for name, text in found])
    assert [partner.id for partner in index.partners] == ["example-bank", "example-wallet"]
