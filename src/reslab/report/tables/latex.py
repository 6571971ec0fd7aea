"""Tables for papers: LaTeX with the rules of the package booktabs."""

from reslab.errors import plain
from reslab.report.tables.cells import Columns, is_numeric

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": r"$-$", "×": r"$\times$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip


def escaped(text: str) -> str:
    """A text as LaTeX prints it."""
    return "".join(SPECIAL.get(sign, sign) for sign in plain(text))


def latex(columns: Columns, *, caption: str, label: str) -> str:
    """The columns as a table for a paper, which needs the package booktabs."""
    alignment = "".join("r" if is_numeric(column) else "l" for column in columns.values())
    rows = zip(*([escaped(cell.text) for cell in column] for column in columns.values()), strict=True)
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{escaped(caption)}}}",
        f"\\label{{tab:{label}}}",
        f"\\begin{{tabular}}{{{alignment}}}",
        "\\toprule",
        " & ".join(map(escaped, columns)) + " \\\\",
        "\\midrule",
        *(" & ".join(row) + " \\\\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"
