"""Clients of several languages that call without end, for rolling restarts.

Each is a program that is given the same JSON as its argument (see rolling_restarts.Orders) and
that calls until its standard input ends. Then it prints the number of answers, and of failures by
status and text, as JSON. Each retries UNAVAILABLE by its library's retry policy, and nothing else.
"""
