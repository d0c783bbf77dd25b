"""How the execution of a step ends, if it does not succeed."""


class StepError(Exception):
    """The step failed, for the reason given in its text, if it needs one."""

    def __init__(self, text: str = "", result: int = -1) -> None:
        """Take the text for the step's output and the number for its result."""
        super().__init__(text)
        self.result = result


class StepAbortedError(StepError):
    """The step was stopped by the runner."""
