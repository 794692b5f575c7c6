"""When an instance that ended by itself is started again, and when no more; pure."""

from __future__ import annotations

import attrs

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 60.0
#: An instance that lived this long was healthy: the next delay is the first one again.
HEALTHY_SECONDS = 300.0
#: More ends than this within the period, and the app is given up.
MAX_ENDS = 8
PERIOD_SECONDS = 600.0


@attrs.frozen(kw_only=True)
class History:
    """The ends of one instance.

    Attributes:
        in_a_row: ends since it was last healthy.
        recent: moments of the ends within the period, of a monotonic clock.

    """

    in_a_row: int = 0
    recent: tuple[float, ...] = ()

    def after_end(self, now: float, lived_seconds: float) -> History:
        """Take note of one more end."""
        was_healthy = lived_seconds >= HEALTHY_SECONDS
        recent = tuple(end for end in self.recent if now - end < PERIOD_SECONDS)
        return History(in_a_row=1 if was_healthy else self.in_a_row + 1, recent=(*recent, now))

    @property
    def delay_seconds(self) -> float:
        """Say how long to wait before the next start."""
        doublings = min(max(self.in_a_row - 1, 0), 16)
        return min(FIRST_DELAY_SECONDS * 2.0**doublings, LONGEST_DELAY_SECONDS)

    @property
    def is_hopeless(self) -> bool:
        """Tell whether it ended too often to be started again."""
        return len(self.recent) > MAX_ENDS
