"""Everything that one measurement draws, from one seed.

The same seed draws the same clients and the same bytes of their hellos, wave by wave. Private keys
are not drawn from it, so key shares are never repeated.
"""

import hashlib
import os
from typing import Final

from otpc_policy.core.facts import SEED_BYTES
from otpc_policy.engine.profiles.hello_draw import RandomBytes

# More than a hello draws; what is missing is made when it is asked for.
_BLOCK_BYTES: Final = 512


# More sources than a measurement asks for.
_BESIDE: Final = 1 << 31


class Draws:
    """Sources of random bytes for one measurement.

    seed: SEED_BYTES; by default the system's. first: number of the first source.
    """

    def __init__(self, seed: bytes | None = None, first: int = 0) -> None:
        self.seed = os.urandom(SEED_BYTES) if seed is None else seed
        self._sources = first

    def beside(self) -> "Draws":
        """Return draws of the same seed for what goes on at the same time as something else.

        Whichever asks first, each is given the same.
        """
        return Draws(self.seed, first=_BESIDE)

    def source(self) -> RandomBytes:
        """Return the next source. Which bytes it gives depends on the seed and its number alone."""
        number, self._sources = self._sources, self._sources + 1
        # Source: FIPS 202, SHAKE128 as an extendable-output function.
        stream = hashlib.shake_128(self.seed + number.to_bytes(4, "big"))
        block, place = b"", 0

        def random_bytes(count: int) -> bytes:
            nonlocal block, place
            end = place + count
            if end > len(block):
                block = stream.digest(max(end, 2 * len(block), _BLOCK_BYTES))
            taken, place = block[place:end], end
            return taken

        return random_bytes
