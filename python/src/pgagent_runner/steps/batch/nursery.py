"""Scaffold."""


class Nursery:
    """Scaffold."""

    def close(self) -> None:
        """Scaffold."""


def reap() -> None:
    """Scaffold."""
