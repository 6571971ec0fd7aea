"""Names that are markup, formulas or terminal codes: text in tables, figures and messages, and nothing else."""

from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pytest

from reslab.errors import UserError, one_line
from reslab.report.figures import style
from reslab.report.html.figures import svg
from reslab.report.tables.cells import Cell, render, terminal
from reslab.report.tables.latex import latex

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "[here](javascript:alert(1))",
    "![](http://tracker/x.png)",
    "a|b\n| c | d |",
    "\x1b]0;title\x07\x1b[2J",
    "\u202egpj.exe",
    "nul\x00 \x9b31m",
    r"$\frac$ \input{/etc/passwd} %",
    "line\u2028separator",
    "half \ud800",
    "x" * 5000,
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_text_in_every_table(name):
    columns = {name: [Cell(None, name), Cell(None, "plain")]}
    for made in (render(columns, title=name), terminal(columns), latex(columns, caption=name, label="x")):
        assert all(sign == "\n" or (sign.isprintable() and sign not in "\u202e\u2028") for sign in made)
        made.encode()
    markdown = render(columns, title=name)
    assert len(markdown.strip().splitlines()) == 6  # title, empty line, head, rule, two rows
    assert "<script" not in markdown and "<img" not in markdown and "](" not in markdown


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_text_in_every_figure(name, tmp_path):
    def draw(axes):
        axes.plot([0, 1], [0, 1], label=name)
        axes.set(xlabel=name)
        return list(zip(*axes.get_legend_handles_labels(), strict=True))

    for text in (str(svg(draw, "x", label=name)), drawn(draw, tmp_path / "x.svg")):
        found = ElementTree.fromstring(text)
        assert not [one for one in found.iter() if one.tag.rpartition("}")[2] in ("script", "img")]
        assert not any(key.startswith("on") for one in found.iter() for key in one.attrib)


def drawn(draw, path) -> str:
    with plt.rc_context(style.STYLE):
        figure, axes = plt.subplots()
        draw(axes)
        axes.legend()
        style.save(figure, path)
    return path.read_text(encoding="utf-8")


def test_a_message_steers_no_terminal():
    assert one_line(UserError("data/\x1b[2Ja\u202e.png: no")) == r"data/\x1b[2Ja\u202e.png: no"


def test_what_is_printable_stays_as_it_is():
    name = "Größe 3 × 4, 猫 < 5 [1.0, 2.0]"
    assert Cell(None, name).text == name and name in render({"x": [Cell(None, name)]})
