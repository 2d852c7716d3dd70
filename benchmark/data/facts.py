"""Store the facts of a dataset's images, so that no image is decoded twice for them.

Facts belong to a file's content, its MD5. What stands for the MD5 is the file's name, size, times
and inode: if one of these changes, the MD5 is computed again. So a renamed or copied image, or one
that `dvc add` linked, is read but not decoded.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import PIL
from PIL import features

from benchmark.common import code
from benchmark.common.digests import text_digest
from benchmark.common.files import read_json, write_text
from benchmark.data.examination import ImageFacts
from benchmark.errors.user_error import visible

EXAMINATION = "benchmark.data.examination"
KEPT = 8
"""Number of datasets whose facts are kept: those that were read last."""


def decoders() -> list[str | None]:
    """Return the versions of Pillow and of the libraries with which it decodes images."""
    libraries = ("jpg", "libjpeg_turbo", "zlib", "webp", "libtiff")
    return [PIL.__version__, *map(features.version, libraries)]


class FactStore:
    """The facts of the images `paths` of the dataset below `root`, in a file in `folder`.

    Facts of other code or other decoders are not read.
    """

    def __init__(self, folder: Path, root: Path, paths: Sequence[Path]) -> None:
        self._path = folder / f"check-{text_digest(visible(str(root.resolve())))[:16]}.json"
        self._made_by = text_digest(code.digest(EXAMINATION), *map(str, decoders()))
        self._keys = {path: _key(path, root) for path in paths}
        self._contents: dict[str, str] = {}
        self._facts: dict[str, ImageFacts] = {}
        self._changed = False
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            stored = read_json(self._path)
            if stored["code"] == self._made_by:
                facts = {name: ImageFacts(*fields) for name, fields in stored["facts"].items()}
                self._contents, self._facts = dict(stored["files"]), facts

    def of_path(self, path: Path) -> ImageFacts | None:
        """Return the facts of the file `path`; None if it is new or has changed."""
        return self._facts.get(self._contents.get(self._keys[path], ""))

    def of_content(self, md5: str) -> ImageFacts | None:
        """Return the facts of a file's content; None if no image has had it."""
        return self._facts.get(md5)

    def add(self, path: Path, facts: ImageFacts) -> ImageFacts:
        """Store and return the facts of the file `path`.

        A digest of all pixels stays if `facts` are those of a reduced scale.
        """
        key = self._keys[path]
        content = facts.md5 or key  # a file that cannot be read has no MD5
        if not facts.pixels and content in self._facts:
            facts = facts._replace(pixels=self._facts[content].pixels)
        self._contents[key], self._facts[content], self._changed = content, facts, True
        return facts

    def save(self) -> None:
        """Write the facts of `paths` if any are new, and remove the oldest files above KEPT.

        If no fact is new, only the file's time is set. An OSError becomes a printed warning.
        """
        keys = self._keys.values()
        contents = {key: self._contents[key] for key in keys if key in self._contents}
        facts = {content: self._facts[content] for content in contents.values()}
        try:
            if self._changed:
                stored = {"code": self._made_by, "files": contents, "facts": facts}
                write_text(self._path, json.dumps(stored, ensure_ascii=False))
                stores = sorted(
                    self._path.parent.glob("check-*.json"), key=lambda path: path.stat().st_mtime
                )
                for old in stores[:-KEPT]:
                    old.unlink(missing_ok=True)
            elif facts:
                self._path.touch()
        except OSError as error:  # the problems are worth more than a faster next check
            reason = f"{error.filename or self._path}: {error.strerror}"
            print(f"warning: {reason}. The next check decodes all images.", file=sys.stderr)


def _key(path: Path, root: Path) -> str:
    """Return a text that differs after any change of the file.

    The time of change (ctime) and the inode cannot be set: an archive brings other bytes of the
    same size and modification time, and exchanged folders bring other files under the same names.
    """
    state = path.stat()
    times = f"{state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}"
    return f"{path.relative_to(root)} {state.st_size} {times} {state.st_mode}"
