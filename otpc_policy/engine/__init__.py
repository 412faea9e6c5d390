"""The program that measures, served as otpc_policy.measurement.v1: DNS, sockets, TLS libraries.

It knows no policy, no partner and no caller. `program` is its composition root.
"""
