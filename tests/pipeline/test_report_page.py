"""The page in a real browser: what the small study's `dvc repro` made, and what ships."""

import re
import shutil

import pandas as pd
import pytest
from browser import DARK, LIGHT, read
from PIL import Image
from project import REPOSITORY

SHIPPED = REPOSITORY / "metrics" / "report.html"
PHONE, DESK = (390, 844), (1280, 900)
BACKGROUND = {LIGHT: (255, 255, 255), DARK: (21, 24, 27)}


@pytest.fixture(params=["shipped", "small"])
def report(request):
    """The page in its place among the records."""
    return SHIPPED if request.param == "shipped" else request.getfixturevalue("trained") / "metrics" / "report.html"


def test_every_link_leads_to_something(report):
    reader = read(report.read_text())
    files = {link for link in reader.links if not link.startswith("#")}
    assert {"tables/results.csv", "tables/networks.csv"} < files
    assert all((report.parent / link).is_file() for link in files)
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)


def test_the_page_is_small_and_alone(report):
    assert report.stat().st_size < 400_000
    loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]*)"', report.read_text())
    assert loaded == ["data:,"]


def names(dom: str, table: str) -> list[str]:
    """The first cell of each row of a table."""
    found = dom[dom.index(f'<table id="{table}"') :].partition("</table>")[0]
    return re.findall(r'<th scope="row"[^>]*>(?:<a[^>]*>)?([^<]*)', found)


def test_a_link_opens_the_table_sorted(browser):
    plain = browser.dom(SHIPPED)
    column = re.findall(r"<button>([^<]*)</button>", plain).index("test error % (mean ± std)") + 1
    table = pd.read_csv(SHIPPED.parent / "tables" / "results.csv")
    up = table.sort_values("mean", kind="stable")["experiment"].tolist()  # what diverged has no error: last
    assert table["mean"].isna().sum() == 1
    dom = browser.dom(SHIPPED, f"#sort=results:{column}")
    assert names(dom, "results") == up
    assert re.findall('aria-sort="([a-z]*)"', dom) == ["ascending"]
    down = browser.dom(SHIPPED, f"#sort=results:{column}:descending")
    assert names(down, "results") == [*reversed(up[:-1]), "resnet110-nobn"]
    assert names(browser.dom(SHIPPED, "#sort=results:99"), "results") == names(plain, "results")
    assert names(browser.dom(SHIPPED, "#sort=nothing:1"), "results") == names(plain, "results")


def test_a_press_on_a_heading_sorts_and_another_turns_it_round(browser, report):
    script = """
    const heading = page.querySelector('#networks thead th:nth-child(4)'), button = heading.querySelector('button');
    const shown = () => [...page.querySelectorAll('#networks tbody tr')].map((row) => row.cells[3].textContent).join(' ');
    button.focus();
    const focused = page.activeElement === button;
    const found = [focused, page.querySelector('#networks thead th:nth-child(4)').ariaSort];
    for (const press of [1, 2]) { button.click(); found.push(heading.ariaSort, shown()); }
    return found.join('|');
    """
    focused, before, first, up, second, down = browser.framed(report, script, width=1280).split("|")
    assert (focused, before) == ("true", "")
    assert (first, second) == ("ascending", "descending")
    rising = [float(value) for value in up.split()]
    assert rising == sorted(rising)
    assert [float(value) for value in down.split()] == rising[::-1]


def test_a_number_opens_its_record(browser, report):
    plain = report.read_text()
    anchor = re.search(r'<tr id="(record-[\w-]+-s1)"', plain)[1]
    assert "<details open" not in browser.dom(report)
    opened = browser.dom(report, f"#{anchor}")
    assert opened.count("<details open") == 1
    assert anchor in opened.split("<details open")[1].split("</details>")[0]


@pytest.mark.parametrize(("width", "height"), [PHONE, DESK])
def test_the_page_does_not_scroll_sideways_and_tables_do(browser, report, width, height):
    script = """
    for (const details of page.querySelectorAll('details')) details.open = true;
    const wide = [...page.querySelectorAll('.box')].filter((box) => box.scrollWidth > box.clientWidth).length;
    const outside = [...page.querySelectorAll('body *:not(.box *):not(pre *):not(svg *)')]
      .filter((one) => one.getBoundingClientRect().right > page.scrollingElement.clientWidth + 0.5).length;
    return [page.scrollingElement.scrollWidth, outside, wide].join(' ');
    """
    scrolled, outside, wide = map(int, browser.framed(report, script, width=width, height=height).split())
    assert scrolled <= width
    assert outside == 0
    assert wide > 0 or width == DESK[0]


def test_a_phone_has_one_column_of_figures_that_can_be_read(browser):
    script = """
    const figures = [...page.querySelectorAll('figure')], letters = [...page.querySelectorAll('figure svg text')];
    const columns = new Set(figures.map((figure) => Math.round(figure.getBoundingClientRect().left))).size;
    return [columns, Math.min(...letters.map((text) => text.getBoundingClientRect().height))].join(' ');
    """
    columns, smallest = map(float, browser.framed(SHIPPED, script, width=390).split())
    assert columns == 1
    assert smallest >= 9
    assert float(browser.framed(SHIPPED, script, width=1280).split()[0]) == 2


@pytest.mark.parametrize("mode", [LIGHT, DARK])
@pytest.mark.parametrize(("width", "height"), [PHONE, DESK])
def test_light_and_dark(browser, report, mode, width, height):
    picture = Image.open(browser.picture(report, width=width, height=height, mode=mode)).convert("RGB").crop((0, 0, width, height))
    colours = {colour: count for count, colour in picture.getcolors(maxcolors=1 << 24)}
    assert max(colours, key=colours.get) == BACKGROUND[mode]
    assert len(colours) > 50  # letters are there
    script = """
    const look = (one) => page.defaultView.getComputedStyle(one);
    const weights = [0.2126, 0.7152, 0.0722];
    const brightness = (colour) => weights.reduce((sum, w, i) => sum + w * Number(colour.match(/[0-9.]+/g)[i]), 0);
    const paper = brightness(look(page.body).backgroundColor);
    const texts = [...page.querySelectorAll('svg text')].map((text) => Math.abs(brightness(look(text).fill) - paper));
    const words = [...page.querySelectorAll('p, td, th, a, figcaption, dt, dd, h1, h2')];
    return Math.min(...texts, ...words.map((word) => Math.abs(brightness(look(word).color) - paper)));
    """
    assert float(browser.framed(report, script, width=width, mode=mode)) > 90


def test_every_seed_is_named_under_the_pointer_and_a_click_shows_its_experiment_alone(browser, report):
    """uPlot and the numbers are in the page; nothing is fetched."""
    script = """
    const [over] = page.querySelectorAll('#every-seed .u-over'), box = over.getBoundingClientRect();
    const at = (kind, y) => over.dispatchEvent(new page.defaultView.MouseEvent(kind,
      {clientX: box.left + box.width - 5, clientY: box.top + y, movementX: 1, movementY: 1, bubbles: true}));
    at('mouseenter', 5);
    for (let y = 5; y < box.height; y += 5) at('mousemove', y);
    const said = page.querySelector('#every-seed figcaption'), link = said.querySelector('a').getAttribute('href');
    const pressed = () => [...page.querySelectorAll('#every-seed button[aria-pressed=true]')].map((button) => button.value).join();
    at('mousedown', box.height - 5); at('mouseup', box.height - 5); at('click', box.height - 5);
    const found = [said.textContent, page.querySelector(link) !== null, pressed()];
    page.querySelector('#every-seed button[aria-pressed=true]').click();
    return [...found, pressed(), page.querySelector('#every-seed').scrollWidth].join('|');
    """
    said, leads, alone, after, width = browser.framed(report, script, width=390).split("|")
    assert re.fullmatch(r"[\w-]+, seed \d, epoch (2|10): [\d.]+ record", said)
    assert (leads, alone, after) == ("true", said.partition(",")[0], "")
    assert int(width) <= 390
    assert "http" not in re.sub("<!--.*?-->", "", "".join(re.findall(r'(?:src|href)="(.*?)"', report.read_text())))


def test_without_its_script_it_is_the_same_page(browser, report, tmp_path):
    bare = tmp_path / "metrics"
    shutil.copytree(report.parent, bare)
    (bare / "report.html").write_text(re.sub("<script>.*?</script>", "", report.read_text(), flags=re.DOTALL))
    dom = browser.dom(bare / "report.html")
    assert "<button" not in dom
    assert names(dom, "results") == names(report.read_text(), "results")
