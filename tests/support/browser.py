"""A real browser without a window: what it makes of a page, and pictures of it."""

import html
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars")
LIGHT, DARK = "--blink-settings=preferredColorScheme=1", "--blink-settings=preferredColorScheme=0"
# An iframe is the only window of 390 px there is: a window of its own is at least 500 px wide.
FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe id="frame" style="border:0;width:{width}px;height:{height}px"
srcdoc="{page}"></iframe><pre id="found"></pre><script>
frame.onload = () => {{ const page = frame.contentDocument; found.textContent = String((() => {{ {script} }})()); }};
</script>"""


class Browser:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _run(self, *options: str) -> subprocess.CompletedProcess:
        command = [CHROMIUM, *QUIET, f"--user-data-dir={self.folder / 'profile'}", "--enable-logging=stderr", *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    def dom(self, page: Path, fragment: str = "") -> str:
        """The page after its script has run; it must have nothing to complain of, and ask for nothing that is not there."""
        done = self._run("--dump-dom", f"{page.resolve().as_uri()}{fragment}")
        assert "CONSOLE" not in done.stderr, done.stderr
        return done.stdout

    def framed(self, page: Path, script: str, *, width: int, height: int = 844, mode: str = LIGHT) -> str:
        """What a script returns that has `page`, shown in a window of that size, for its document."""
        path = self._frame(page.read_text(), script, width, height)
        done = self._run(mode, "--window-size=1280,900", "--dump-dom", path.as_uri())
        assert "CONSOLE" not in done.stderr, done.stderr
        return html.unescape(re.search('<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)[1])

    def picture(self, page: Path, *, width: int, height: int, mode: str) -> Path:
        """A screenshot as PNG."""
        path, target = self._frame(page.read_text(), "", width, height), self.folder / "picture.png"
        self._run(mode, f"--window-size={max(width, 500)},{height}", f"--screenshot={target}", path.as_uri())
        return target

    def _frame(self, page: str, script: str, width: int, height: int) -> Path:
        path = self.folder / "frame.html"
        path.write_text(FRAME.format(page=html.escape(page), script=script, width=width, height=height))
        return path


class Reader(HTMLParser):
    """Collects ids, links, rows of tables, and checks that elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.ids, self.links, self.rows, self.stack, self.scripts = [], [], [], [], 0

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag == "a" else []
        self.scripts += tag == "script"
        self.rows += [[]] if tag == "tr" else []
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in ("meta", "link"):
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.ids += [value for key, value in attributes if key == "id"]

    def handle_data(self, data):
        if {"td", "th"} & set(self.stack):
            self.rows[-1][-1] += data

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.stack == []
    return reader
