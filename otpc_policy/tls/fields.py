"""Reads the fields of one complete message.

Its error stays inside the decoders, which turn it into a value.
"""


class Malformed(Exception):
    """The bytes contradict themselves or the protocol. The text is for people."""


class Fields:
    """The fields of a message, taken from its start.

    Each method raises Malformed if the message ends too soon.
    """

    __slots__ = ("_content", "_place")

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 0

    @property
    def left(self) -> int:
        """Number of bytes not taken yet."""
        return len(self._content) - self._place

    def take(self, count: int) -> bytes:
        """Take a number of bytes."""
        end = self._place + count
        if end > len(self._content):
            raise Malformed("a field runs past its message")
        taken, self._place = self._content[self._place : end], end
        return taken

    def since_start(self, count: int) -> bytes:
        """Return the first bytes of the message, taken or not."""
        return self._content[:count]

    def number(self, width: int) -> int:
        """Take an unsigned number of width bytes."""
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        """Take a length of width bytes, and as many bytes as it announces."""
        return self.take(self.number(width))
