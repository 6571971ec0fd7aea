"""The sentence that answers a study's question, and the table for papers."""

import shutil
import subprocess

import pandas as pd
import pytest

from reslab.report.tables.answer import answer
from reslab.report.tables.cells import Cell, words
from reslab.report.tables.latex import latex


def compared(*verdicts: str) -> pd.DataFrame:
    return pd.DataFrame({"experiment": f"tau{i}", "against": f"plain{i}", "verdict": verdict} for i, verdict in enumerate(verdicts))


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (["better"], "Of 1 comparison 1 is settled: tau0 is better than plain0."),
        (["worse", "undecided at n = 3"], "Of 2 comparisons 1 is settled: tau0 is worse than plain0; open: tau1 against plain1."),
        (["better; failed 0 of 3 against 3 of 3: less often"], "tau0 is better than and fails less often than plain0."),
        (["one seed is too few; failed 0 of 9 against 9 of 9: less often"], "tau0 fails less often than plain0."),
        (["the same within 0.3 points"], "tau0 is the same within 0.3 points as plain0."),
        (["undecided at n = 3; failed 1 of 3 against 0 of 3: undecided"], "These runs do not settle it: of 1 comparison none"),
        (["better"] * 5, "tau2 is better than plain2 and 2 more."),
    ],
)
def test_the_answer_says_what_is_settled(verdicts, said):
    assert said in answer(compared(*verdicts))


def test_without_comparisons_there_is_no_answer():
    assert answer(None) == answer(compared()) == ""


COLUMNS = {"name_1": words(["a&b", "50 % ± 1", "{x}^~$#\\"]), "error": [Cell(1.0, "1.00"), Cell(2.0, "2.00"), Cell(None, "")]}


def test_a_table_for_papers_escapes_what_latex_would_take_for_commands():
    lines = latex(COLUMNS, caption="A_b", label="x").splitlines()
    assert "\\begin{tabular}{lr}" in lines and "name\\_1 & error \\\\" in lines
    assert "a\\&b & 1.00 \\\\" in lines and "50 \\% $\\pm$ 1 & 2.00 \\\\" in lines
    assert "\\{x\\}\\textasciicircum{}\\textasciitilde{}\\$\\#\\textbackslash{} &  \\\\" in lines
    assert [line for line in lines if line.endswith("rule")] == ["\\toprule", "\\midrule", "\\bottomrule"]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_latex_takes_it(tmp_path):
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}"
        + latex(COLUMNS, caption="A_b", label="x")
        + "\\end{document}"
    )
    subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True)
