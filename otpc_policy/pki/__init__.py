"""Certificates: parsing, names, chains, anchors, pins, stapled revocation. Time is an argument."""
