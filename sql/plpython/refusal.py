"""How the helpers refuse what they are given. Included in the body of each of them."""


class RefusalError(ValueError):
    """What is wrong, and what is allowed."""

    def __init__(self, problem: str, detail: str) -> None:
        """Take MESSAGE, without its prefix, and DETAIL of the error."""
        super().__init__(problem)
        self.detail = detail
