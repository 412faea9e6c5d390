"""Certificates: parsing, names, chains, anchors and pins, stapled revocation. Time is an argument."""
