"""How what is given is refused.

The Makefile puts this file, and others of this room, into bodies of pgagent_python as
well, without the imports of ours. So they are Python 3.9.
"""


class RefusalError(ValueError):
    """What is wrong, and what is allowed."""

    def __init__(self, problem: str, detail: str) -> None:
        """Take MESSAGE, without its prefix, and DETAIL of the error."""
        super().__init__(problem)
        self.detail = detail
