"""The policy: findings, documents, rules, evaluation. No IO but reading the built-in documents."""
