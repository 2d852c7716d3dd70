"""`python -m tests.report.picture`: draw the upper part of reports/report.html as docs/report.png,
for the README. Needs Chromium."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests import REPOSITORY
from tests.report.test_browser import BROWSER, QUIET

PAGE, PICTURE = REPOSITORY / "reports/report.html", REPOSITORY / "docs/report.png"
WIDTH, HEIGHT = 1200, 1190
COLOURS = 64
"""Number of colours in the picture; few of them keep the file small."""


def main() -> int:
    """Draw the picture and return an exit status."""
    if BROWSER is None:
        print("no chromium on the PATH", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder, "page.png")
        command = [
            BROWSER, *QUIET, "--hide-scrollbars", f"--user-data-dir={folder}/profile",
            f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={drawn}", PAGE.as_uri(),
        ]  # fmt: skip
        environment = os.environ | {"HOME": folder}
        subprocess.run(command, capture_output=True, check=True, timeout=300, env=environment)
        picture = Image.open(drawn).convert("RGB").quantize(COLOURS)
        picture.save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
