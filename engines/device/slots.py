"""Which row of the device's state holds whom: pure bookkeeping, no GPU.

State stays on the device, so a key keeps its row for as long as it lives. An engine runs for 1, 2, 4 or 8
rows (its optimisation profiles), always the first ones of a bank; rows that nobody uses compute on what
they hold and are not read. Few people must not pay for many: when the rows in use would fit a smaller
profile, those above it are moved down by a copy on the device. More people than the largest profile
holds use more banks.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Assignment:
    """Where the keys of one call are.

    Attributes:
        rows: (P,) int, the row of each key, in the order of the call; bank = row // capacity.
        keep: (banks * capacity,) float32, 1 where a row goes on, 0 where it starts afresh or is not used.
        moves: State rows (from, to) to copy before the run; no row is both read and written.
        sizes: Rows to run in each bank: one of the profile sizes.
    """

    rows: npt.NDArray[np.intp]
    keep: npt.NDArray[np.float32]
    moves: tuple[tuple[int, int], ...]
    sizes: tuple[int, ...]


class SlotTable:
    """Maps keys to rows, call by call."""

    def __init__(self, sizes: Sequence[int]) -> None:
        """Start empty.

        Args:
            sizes: Row counts that the engine can run, e.g. (1, 2, 4, 8); the largest is a bank's capacity.
        """
        self.sizes = tuple(sorted(sizes))
        self.capacity = self.sizes[-1]
        self._rows: dict[Hashable, int] = {}

    def assign(self, keys: Sequence[Hashable], reset: Collection[Hashable] = ()) -> Assignment:
        """Give every key a row, forget keys that are not in the call, and say which rows to keep.

        Args:
            keys: Distinct keys, one per person of this call.
            reset: Keys to start afresh.
        """
        sizes = self._sizes_for(len(keys))
        limit = (len(sizes) - 1) * self.capacity + sizes[-1] if sizes else 0
        known = {key: self._rows[key] for key in keys if key in self._rows}
        free = [row for row in range(limit) if row not in set(known.values())]
        moves = []
        for key, row in known.items():
            if row >= limit:
                known[key] = free.pop(0)
                moves.append((row, known[key]))
        self._rows = {key: known[key] if key in known else free.pop(0) for key in keys}
        rows = np.array([self._rows[key] for key in keys], np.intp)
        keep = np.zeros(len(sizes) * self.capacity, np.float32)
        keep[rows] = [key in known and key not in reset for key in keys]
        return Assignment(rows, keep, tuple(moves), sizes)

    def known(self) -> dict[Hashable, int]:
        """Return the row of every key of the last call."""
        return dict(self._rows)

    def _sizes_for(self, people: int) -> tuple[int, ...]:
        full, rest = divmod(people, self.capacity)
        last = tuple(next(s for s in self.sizes if s >= rest) for _ in range(rest > 0))
        return (self.capacity,) * full + last
