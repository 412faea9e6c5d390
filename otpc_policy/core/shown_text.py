"""Texts of certificates as people are shown them: printable, and of a length that can be read.

Whoever makes a certificate chooses what its names, object identifiers and URLs say, and how much. A
name of 50 kB would bury the message that it stands in, and control characters would act on the
terminals and logs of whoever reads it. So every text for people in a CertificateView or a
ChainJudgement passes through here when it is made; messages shorten some of them further. Nothing
is ever compared with a text that came from here.
"""

# Names of roots in Mozilla's program have fewer than 200 characters.
MAX_TEXT = 1_000
# What stands in a message beside other texts.
MAX_DETAIL = 300
# Names of algorithms and keys that people know have fewer than 40, a sentence has room for one.
MAX_ALGORITHM = 100
# In hexadecimal. RFC 5280 4.1.2.2 allows 20 octets, and 64 digits hold what authorities wrote.
MAX_SERIAL_NUMBER = 64


def shown(text: str, at_most: int = MAX_TEXT) -> str:
    """Return a text without control characters, shortened."""
    cut = shortened(text, at_most)
    if cut.isprintable():
        return cut
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in cut)


def shortened(text: str, at_most: int) -> str:
    """Return a text with at most so many characters, and how many were left out."""
    left_out = len(text) - at_most
    if left_out <= 0:
        return text
    return f"{text[:at_most]}… ({left_out:,} more characters)"
