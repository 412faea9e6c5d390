"""Handshakes completed by processes of their own: fork, isolate, ask, read strictly, kill.

`pool` and `lease` are what the scanner uses. `template` and `worker` are what runs in the other
processes, with `client_handshake`; they import nothing that they can do without.
"""
