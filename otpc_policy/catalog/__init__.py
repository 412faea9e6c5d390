"""From the documents of an operator to what judges: policies, partners, trust and policy tests."""
