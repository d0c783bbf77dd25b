"""The arrays of a schedule, in every wrong shape."""

FIELDS = {
    "jscminutes": 60,
    "jschours": 24,
    "jscweekdays": 7,
    "jscmonthdays": 32,
    "jscmonths": 12,
}


def row(elements, first=1):
    last = first + len(elements) - 1
    return f"[{first}:{last}]={{{','.join(elements)}}}"


def matrix(rows):
    return "{" + ",".join(rows) + "}"


# Arrays for a field of n elements, and what there is to say of them.
SHAPES = {
    "all NULL": (lambda n: row(["NULL"] * n), "element 1 is NULL"),
    "one NULL": (lambda n: row(["f"] * (n - 1) + ["NULL"]), "element {n} is NULL"),
    "one NULL, one true": (
        lambda n: row(["t", "NULL"] + ["f"] * (n - 2)),
        "element 2 is NULL",
    ),
    "empty": (lambda _: "{}", "has 0 elements, {n} wanted"),
    "too few": (lambda n: row(["t"] * (n - 2)), "elements, {n} wanted"),
    "too many": (lambda n: row(["t"] * (n + 1)), "elements, {n} wanted"),
    "0 to n": (lambda n: row(["t"] * (n + 1), 0), "lower bound.* 0"),
    "0 to n - 1": (lambda n: row(["t"] * n, 0), "lower bound.* 0"),
    "0 to n, only 0 true": (
        lambda n: row(["t"] + ["f"] * n, 0),
        "lower bound.* 0",
    ),
    "2 to n": (lambda n: row(["t"] * (n - 1), 2), "lower bound.* 2"),
    "only n, true": (lambda n: row(["t"], n), "lower bound.* {n}"),
    "only n, false": (lambda n: row(["f"], n), "lower bound.* {n}"),
    "-5 to n": (lambda n: row(["f"] * (n + 6), -5), "lower bound.* -5"),
    "n rows": (lambda n: matrix(["{t}"] * n), "one-dimensional, has 2"),
    "n rows of two": (lambda n: matrix(["{t,f}"] * n), "one-dimensional, has 2"),
    "n planes": (lambda n: matrix(["{{f}}"] * n), "one-dimensional, has 3"),
}
