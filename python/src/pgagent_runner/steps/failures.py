"""How the execution of a step ends, if it does not succeed."""

_LONGEST_REASON = 1000  # characters


class StepError(Exception):
    """The step failed.

    Its text is added to the step's output, `result` is the step's result, `reason`,
    by default the first line of the text, says in one sentence why, and `cause` in one
    word: see `model.Outcome`.
    """

    def __init__(
        self, text: str, result: int = -1, reason: str = "", cause: str = ""
    ) -> None:
        """Take what the outcome will tell."""
        super().__init__(text)
        self.result = result
        self.cause = cause
        self.reason = reason or _shortened(text.partition("\n")[0])


class StepAbortedError(StepError):
    """The step was stopped by the runner."""


def _shortened(reason: str) -> str:
    if len(reason) <= _LONGEST_REASON:
        return reason
    return reason[:_LONGEST_REASON] + "…"
