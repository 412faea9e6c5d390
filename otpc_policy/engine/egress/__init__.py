"""The way out: host names to vetted addresses (resolver), and TCP connections to those and to no
others (dialler). Nothing else in the package asks name servers or connects to partners.
"""
