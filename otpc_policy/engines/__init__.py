"""Engines as the deciding program sees them: where they run, and what they find.

`pool` satisfies the use case's ports Scanner and Resolver. It reaches its engines through `client`,
and gets them from a fleet: `child` starts and supervises its own, `remote` finds those of others.
Nothing here measures, and nothing here knows a policy.
"""
