"""How sending fails."""


class NotSentError(Exception):
    """A message has not been sent, as far as is known: a sentence that says why."""
