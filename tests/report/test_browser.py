"""The page in a real browser, where there is one: `apt install chromium`."""

import html
import html.parser
import json
import os
import re
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.report import page, sections
from benchmark.report.charts import draw, training_curves
from benchmark.report.schema import Record
from tests.report.golden import CASES, FACTS, compared
from tests.support.made_records import write_results

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH"),
]
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-quic",
)  # fmt: skip

CHROMIUM_HOSTS = (
    "//update.googleapis.com/", "//clients2.google.com/", " update.googleapis.com:443",
    " clients2.google.com:443", " accounts.google.com:443", ".gvt1.com",
    " optimizationguide-pa.googleapis.com:443", " www.google.com:443",
)  # fmt: skip
"""Hosts that Chromium asks for updates, the time and its account, despite QUIET."""


class Proxy(socketserver.ThreadingTCPServer):
    """Refuses every request of the browser and records its first line."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Refuse)
        self.requests: list[str] = []


class Refuse(socketserver.StreamRequestHandler):
    """Answers one request of the browser with 404."""

    def handle(self) -> None:
        self.server.requests.append(self.rfile.readline().decode())  # type: ignore[attr-defined]
        self.wfile.write(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def opened(page: Path, proxy: Proxy, folder: Path) -> str:
    """Load `page` from disk in the browser and return the resulting document."""
    assert BROWSER
    address = f"http://127.0.0.1:{proxy.server_address[1]}"
    command = [
        BROWSER, *QUIET, f"--user-data-dir={folder}", f"--proxy-server={address}",
        "--proxy-bypass-list=<-loopback>", "--virtual-time-budget=5000", "--dump-dom",
        page.as_uri(),
    ]  # fmt: skip
    environment = os.environ | {"HOME": str(folder)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=300, env=environment
    )
    return done.stdout


class Elements(html.parser.HTMLParser):
    """Collects every element of a document with its attributes."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def outside(proxy: Proxy) -> list[str]:
    """Return the requests of the page, without those of the browser itself."""
    return [line for line in proxy.requests if not any(host in line for host in CHROMIUM_HOSTS)]


def test_a_request_would_be_noticed(tmp_path: Path, proxy: Proxy) -> None:
    page = tmp_path / "page.html"
    addresses = ("http://elsewhere.example/picture.png", "http://fonts.googleapis.com/css")
    page.write_text("".join(f'<link rel="stylesheet" href="{url}">' for url in addresses))
    opened(page, proxy, tmp_path / "profile")
    for address in addresses:
        assert [line for line in outside(proxy) if address in line]


def test_the_page_loads_nothing_and_its_charts_have_words(drawn_pages, tmp_path, proxy) -> None:
    write_results("cpu")
    drawn_pages("cpu")
    document = opened(Path("reports/report.html").resolve(), proxy, tmp_path / "profile")
    assert outside(proxy) == []
    elements = Elements(document).elements
    charts = [attributes for tag, attributes in elements if tag == "svg"]
    pictures = [attributes for tag, attributes in elements if tag == "img"]
    assert len(charts) == 5
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert pictures
    assert all(picture["alt"] for picture in pictures)
    assert not [tag for tag, _ in elements if tag in ("script", "link", "iframe", "object")]


MEASURE = """
<script>
addEventListener("load", () => {
  const frame = document.querySelector("iframe"), inner = frame.contentDocument;
  const cut = [...inner.querySelectorAll("body *")].filter(element => {
    const box = element.getBoundingClientRect();
    if (box.width < 2 || element.closest("svg svg, defs, thead")) return false;
    const clipped = !(element instanceof frame.contentWindow.SVGElement)
      && element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0;
    return box.right > frame.clientWidth + 1 || box.left < -1 || clipped;
  });
  document.title = JSON.stringify(cut.map(element => element.outerHTML.slice(0, 90)));
});
</script>
"""
"""Names the elements that reach beyond the frame, or whose content does."""


def cut(page_html: str, width: int, proxy: Proxy, folder: Path) -> list[str]:
    """Return the elements of a page that are cut at this width, as HTML.

    The page's rule against scripts is removed, so that it can be measured.
    """
    free = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", page_html)
    frame = f'<iframe width="{width}" height="900" srcdoc="{html.escape(free)}"></iframe>'
    outer = folder / "outer.html"
    outer.write_text(f"<!doctype html><title></title>{MEASURE}{frame}", encoding="utf-8")
    document = opened(outer, proxy, folder / "profile")
    title = re.search(r"<title>(.*?)</title>", document, flags=re.DOTALL)
    assert title
    elements: list[str] = json.loads(html.unescape(title.group(1)))
    return elements


def test_what_is_cut_would_be_noticed(tmp_path: Path, proxy: Proxy) -> None:
    page = '<p style="width: 700px">wide</p><p>narrow</p><p style="width: 9px">enormous</p>'
    wide, narrow = cut(page, 500, proxy, tmp_path)
    assert wide.startswith('<p style="width: 700px">')
    assert narrow.startswith('<p style="width: 9px">')


@pytest.mark.parametrize(
    ("name", "width"),
    [("three", 360), ("three", 500), ("one", 360), ("machines", 500), ("machines", 1280)],
)
def test_nothing_is_cut_on_a_phone_or_a_screen(
    name: str, width: int, tmp_path: Path, proxy: Proxy
) -> None:
    """With charts, which the goldens leave out."""
    assert cut(drawn(name), width, proxy, tmp_path) == []


def drawn(name: str) -> str:
    """Return the page of a golden case, with its charts."""
    local, _, controls, sheets = CASES[name]()
    present = [result for result in local if isinstance(result, Record)]
    comparison = compared(name)
    runs = training_curves(present, controls)
    charts = draw(present, runs, comparison, sheets.recalls if sheets else [])
    return page.render(sections.document(comparison, FACTS, sheets), charts)
