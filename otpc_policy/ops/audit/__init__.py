"""The record of what the service decided, refused and was told to do: docs/audit.md.

A line is made once (schema, trail) and goes to every sink (port) through a queue and a thread of
its own (outlet), so that no slow disk or collector delays a response or another sink. What is lost
is counted, and a line in the sink says so as soon as it can be written.
"""
