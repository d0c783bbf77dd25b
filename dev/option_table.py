"""Write the table of options in docs/operating.md from their declaration."""

from pathlib import Path

from pgagent_runner.declaring import Option, options_of
from pgagent_runner.options import AgentOptions

PAGE = Path(__file__).resolve().parent.parent / "docs/operating.md"
BEGIN = "<!-- options: written by `make docs` from options.py; do not edit -->\n"
END = "<!-- end of options -->\n"
HEAD = """
| option | pgAgent's | default | |
|---|---|---|---|
"""


def page() -> str:
    """Return the page as it has to be."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{PAGE} has lost the marks of the table of options")
    lines = "".join(map(_line, options_of(AgentOptions)))
    return f"{before}{begin}{HEAD}{lines}\n{end}{after}"


def _line(option: Option) -> str:
    form = option.form()
    if form.is_positional:
        return f"| `{option.metavar}` | the same | | {_cell(option.help)} |\n"
    classic = option.form(classic=True)
    shown = option.shown_default
    if classic.default is not None:
        shown += f"; without `{classic.flag}`, {classic.default}"
    value = option.metavar or "|".join(option.kind.arguments.get("choices", ""))
    own = f"`{classic.flag}`" if option.classic else ""
    return (
        f"| `{_cell(f'{form.flag} {value}'.rstrip())}` | {own} | {_cell(shown)} |"
        f" {_cell(option.help)} |\n"
    )


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    PAGE.write_text(page())
