"""The mapping to PCI DSS names every rule, and the documentation says the same."""

import re
from pathlib import Path

from otpc_policy.policy.pci_dss import pci_dss_requirements
from otpc_policy.policy.rules import RULES

PAGE = Path(__file__).parents[2] / "docs" / "policies.md"


def test_every_rule_is_mapped_once_in_the_order_of_rules() -> None:
    assert list(pci_dss_requirements()) == [rule.id for rule in RULES]


def test_requirements_are_numbers_of_the_standard() -> None:
    for requirements in pci_dss_requirements().values():
        for requirement in requirements:
            assert re.fullmatch(r"(4\.2\.1( \([abcd]\))?|12\.3\.3|6\.3\.3)", requirement)


def test_the_documentation_has_the_same_table() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.*) \|$", PAGE.read_text(), flags=re.MULTILINE)
    assert {rule: words for rule, words in rows if "." in rule} == {
        rule: ", ".join(requirements) or "none"
        for rule, requirements in pci_dss_requirements().items()
    }
