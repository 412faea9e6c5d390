"""Replicas over one store, simulated: every event of a run follows from its seed.

Theory of operation. The replicas are made of the classes that a service is made of: tiers, leases,
notices, measurements, the watch list. What lies outside of them is modelled: time (`loop`), the
store (`store`, which runs the scripts themselves), the way to it (`link`), partners and engines
(`world`). A run draws from its seed how many replicas and endpoints there are, who calls when, when
endpoints turn bad, and which faults strike (`faults`). `invariants` looks at what happens from
outside, in the world's time, which no replica knows.

    python -m tests.simulation --runs 10000 --seed 1
    python -m tests.simulation --replay 4711

A new port joins in `replica` (what is built over the link) and in `invariants` (a class with the
methods of Invariant; add it to EVERY).
"""
