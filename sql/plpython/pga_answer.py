"""How the helpers answer: in JSON, which pga_answer() in SQL opens."""

import json


class Refused(Exception):
    """What can't be done: an SQLSTATE, what is wrong, and what is right."""

    def __init__(self, sqlstate, message, detail):
        """Keep the three texts."""
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.detail = detail


def answer(function, *arguments):
    """Return {"value": …}, or {"error": …} if the function raises Refused."""
    try:
        return json.dumps({"value": function(*arguments)})
    except Refused as refused:
        return json.dumps({"error": vars(refused)})
