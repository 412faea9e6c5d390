"""The revision of what a measurement shows."""

# Part of the key of stored facts: raise it whenever the same server would now give other facts, so
# that nobody is answered with those of an older scanner.
PROBE_REVISION = "4"
