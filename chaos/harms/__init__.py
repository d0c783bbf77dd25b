"""One bad thing harms nothing else: a table of bad things, each tried beside good jobs.

`subject.py` has what is tried, `cell.py` the database in which one bad thing happens,
`table.py` runs all of them; the other modules are the table's lines, by kind.
"""

from chaos.harms import locks, rows, sizes, triggers, values

__all__ = ["locks", "rows", "sizes", "triggers", "values"]
