"""The page in a real browser, where there is one: `apt install chromium`."""

import html.parser
import os
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.report.made import write_results

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH"),
]
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-quic",
)  # fmt: skip

OWN = (
    "//update.googleapis.com/", "//clients2.google.com/", " update.googleapis.com:443",
    " clients2.google.com:443", " accounts.google.com:443", ".gvt1.com",
    " optimizationguide-pa.googleapis.com:443",
)  # fmt: skip
"""Where Chromium asks for updates, for the time, and for its account, whatever it is told."""


class Proxy(socketserver.ThreadingTCPServer):
    """Refuses every request that the browser makes, and notes what it was."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Refuse)
        self.asked: list[str] = []


class Refuse(socketserver.StreamRequestHandler):
    """One connection of the browser's."""

    def handle(self) -> None:
        self.server.asked.append(self.rfile.readline().decode())  # type: ignore[attr-defined]
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
    """The document after the browser has loaded `page` from disk."""
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
    """Every element of a document with its attributes."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def outside(proxy: Proxy) -> list[str]:
    """Requests that are not the browser's own affairs."""
    return [line for line in proxy.asked if not any(host in line for host in OWN)]


def test_a_request_would_be_noticed(tmp_path: Path, proxy: Proxy) -> None:
    page = tmp_path / "page.html"
    addresses = ("http://elsewhere.example/picture.png", "http://fonts.googleapis.com/css")
    page.write_text("".join(f'<link rel="stylesheet" href="{each}">' for each in addresses))
    opened(page, proxy, tmp_path / "profile")
    for address in addresses:
        assert [line for line in outside(proxy) if address in line]


def test_the_page_asks_nobody_and_its_charts_have_words(pages, tmp_path, proxy) -> None:
    write_results("cpu")
    pages("cpu")
    document = opened(Path("reports/report.html").resolve(), proxy, tmp_path / "profile")
    assert outside(proxy) == []
    elements = Elements(document).found
    charts = [attributes for tag, attributes in elements if tag == "svg"]
    pictures = [attributes for tag, attributes in elements if tag == "img"]
    assert len(charts) == 4
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert pictures
    assert all(picture["alt"] for picture in pictures)
    assert not [tag for tag, _ in elements if tag in ("script", "link", "iframe", "object")]
