"""From an operator's documents to one catalog of everything that judges.

Policies, partners, trust and policy tests: schemas for each, one reader, one watcher, and one
generation of all that is swapped at once. What the documents mean is decided in otpc_policy.policy.
"""
