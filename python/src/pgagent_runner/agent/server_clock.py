"""Whether the server's clock was set, and leases can be judged by it."""

import math

from pgagent_runner.model import Pulse

_TOLERANCE = 1.0  # seconds between two heartbeats that are no step of a clock
_LATE = 1 / 2  # of the lease


class ServerClock:
    """Hears of each heartbeat; tells of steps, and whether leases can be judged.

    After a step of the server's clock, and when heartbeats were not answered in time,
    agents that live look dead until they have renewed their leases. Whoever has seen
    the clock go on for a whole lease, and his own heartbeats answered, knows better.
    """

    def __init__(self, lease: float) -> None:
        """Judge leases of agents whose own lasts so long."""
        self._lease = lease
        self._offsets: tuple[float, float] | None = None
        self._answered = -math.inf
        self._judges_from = math.inf

    def note(self, pulse: Pulse) -> float:
        """Hear of a heartbeat; return by how many seconds the clock was set, or 0."""
        step = self._step_of(pulse)
        is_late = pulse.answered - self._answered > _LATE * self._lease
        if step or is_late or pulse.refused is not None:
            self._judges_from = pulse.answered + self._lease
        self._answered = pulse.answered
        return step

    @property
    def can_judge(self) -> bool:
        """Whether an agent is dead whose lease, by the server's clock, has run out."""
        return self._answered >= self._judges_from

    def _step_of(self, pulse: Pulse) -> float:
        if pulse.now is None:
            return 0.0
        # It was read at some moment between question and answer.
        lowest, highest = pulse.now - pulse.answered, pulse.now - pulse.asked
        before, self._offsets = self._offsets, (lowest, highest)
        if before is None:
            return 0.0
        if lowest > before[1] + _TOLERANCE or highest < before[0] - _TOLERANCE:
            return (lowest + highest - sum(before)) / 2
        return 0.0
