"""Draw photographs of invented butterflies and write them to disk as a dataset.

The bundled dataset consists of them, so that everyone may copy it. Each image depends only on the
seed, its species, its split and its number. It is the same on every machine.
"""

import io
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmark.common.files import new_directory
from benchmark.common.progress import track
from benchmark.errors.user_error import UserError
from provenance.noise import Floats, fractal, stream
from provenance.scenery import backdrop, foreground
from provenance.species import SPECIES, Species, draw_species
from provenance.wings import ORIGINS, SIDE, outline, textures

SIZE = 224  # height and width in pixels
DISTANCE = 5.0  # distance of the camera, in fore-wing lengths


@dataclass(frozen=True)
class Collection:
    """Description of a dataset to draw."""

    keys: tuple[str, ...]
    """Keys of the species; the text after the slash is the name of the class's folder."""
    counts: tuple[tuple[str, int], ...]
    """Splits, with the number of images of each species."""
    size: int
    """Height and width of each image in pixels."""


TARGETS = Collection(
    tuple(f"target/{name}" for name in SPECIES), (("train", 20), ("val", 5), ("test", 5)), SIZE
)
"""The bundled dataset."""


def sources(species: int, images: int, size: int) -> Collection:
    """Return a dataset for pretraining, with species that the bundled dataset does not contain.

    Args:
        species: number of species.
        images: training images per species; validation and test have 5 each.
        size: height and width of the images in pixels.
    """
    keys = tuple(f"source/{number:03}" for number in range(species))
    return Collection(keys, (("train", images), ("val", 5), ("test", 5)), size)


def synthesise(root: Path, seed: int, collection: Collection = TARGETS) -> None:
    """Draw a collection into root/<split>/<species>/<number>.jpg, on all processors.

    Raises:
        UserError: `root` exists and is not an empty directory.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root} exists and is not empty.", "Name a directory that does not exist.")
    # Fresh interpreters: a fork of a process in which torch has threads may hang.
    with new_directory(root) as part, ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        done = pool.map(partial(_write_species, part, seed, collection), collection.keys)
        for _ in track(done, "Drawing butterflies", len(collection.keys)):
            pass  # advance the progress bar; raise the exceptions of workers


def _write_species(root: Path, seed: int, collection: Collection, key: str) -> None:
    species = draw_species(key)
    for split, count in collection.counts:
        folder = root / split / key.split("/", 1)[1]
        folder.mkdir(parents=True)
        for number in range(count):
            rng = stream("image", seed, species.key, split, number)
            image = draw_image(species, rng, collection.size)
            (folder / f"{number:02}.jpg").write_bytes(encode(image, rng))


def encode(image: NDArray[np.uint8], rng: np.random.Generator) -> bytes:
    """Return an image (height, width, 3) as a JPEG file with a random quality of 94 to 98."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(rng.integers(94, 99)))
    return file.getvalue()


def draw_image(species: Species, rng: np.random.Generator, size: int = SIZE) -> NDArray[np.uint8]:
    """Return a photograph of one individual: RGB, uint8 (size, size, 3), with size >= 48."""
    picture = backdrop(rng, size)
    _place(species, rng, picture)
    if rng.random() < 0.2:
        foreground(rng, picture)
    return _expose(picture, rng)


@dataclass(frozen=True)
class Pose:
    """Angles (in radians) of a butterfly's wings, and of the body relative to the camera."""

    opening: tuple[float, float]  # of the left and the right wings above the horizontal
    sweep: tuple[float, float]  # of the fore and the hind wings forwards, in their plane
    roll: float  # about the body's axis
    pitch: float  # of the head, towards the camera
    heading: float  # in the image's plane, anticlockwise

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Pose":
        """Draw a pose: wings open (60 %), half closed (20 %), or closed and seen from the side."""
        side = rng.choice([-1, 1])
        lift, roll, turn = [
            (rng.uniform(-0.05, 0.6), rng.normal(0, 0.15), 0.0),
            (rng.uniform(0.5, 0.85), side * rng.uniform(0.2, 0.45), side * 0.2),
            (rng.uniform(1.42, 1.56), side * rng.uniform(1.25, 1.6), side * rng.uniform(0.8, 1.6)),
        ][rng.choice(3, p=[0.6, 0.2, 0.2])]
        return cls(
            opening=(lift + rng.normal(0, 0.04), lift + rng.normal(0, 0.04)),
            sweep=(
                rng.normal(-0.06, 0.08) - 0.12 * abs(roll),
                rng.normal(0, 0.05) + 0.1 * abs(roll),
            ),
            roll=roll,
            pitch=rng.normal(0.0, 0.25),
            heading=turn + rng.normal(0, 0.4),
        )

    def view(self, vector: tuple[float, float, float]) -> Floats:
        """Rotate a vector from the butterfly's axes (right, forwards, up) to the camera's axes."""
        x, y, z = vector
        x, z = _turn(x, z, -self.roll)
        y, z = _turn(y, z, self.pitch)
        x, y = _turn(x, y, self.heading)
        return np.array([x, y, z])


Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels
Part = TypeVar("Part", float, Floats)


def _turn(a: Part, b: Part, angle: float) -> tuple[Part, Part]:
    return a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)


@dataclass(frozen=True)
class Sheet:
    """A wing or the body as a plane in camera coordinates: base, two axes, texture, brightness."""

    texture: str
    base: Floats
    across: Floats
    forwards: Floats
    depth: float
    brightness: float

    def project(self, points: Floats) -> Floats:
        """Project points (n, 2) of the sheet to the camera's plane, (n, 2) with y upwards."""
        space = self.base + points[:, :1] * self.across + points[:, 1:] * self.forwards
        return space[:, :2] * DISTANCE / (DISTANCE - space[:, 2:])

    def warp(self, texture: int, scale: float, x: float, y: float) -> Floats:
        """Return the homogeneous matrix (3, 3) from texture pixels to image pixels."""
        left, top = ORIGINS[self.texture.split()[0]]
        corner = self.base - left * self.across + top * self.forwards
        step = SIDE / texture
        columns = []
        for vector, far in (
            (step * self.across, 0),
            (-step * self.forwards, 0),
            (corner, DISTANCE),
        ):
            w = far - vector[2]
            columns.append((scale * vector[0] + x * w, -scale * vector[1] + y * w, w))
        return np.array(columns).T


def _sheets(pose: Pose, sun: Floats) -> list[Sheet]:
    """Return the sheets of wings and body, the most distant first."""
    sheets = [_body_sheet(pose)]
    for side, opening in ((-1, pose.opening[0]), (1, pose.opening[1])):
        for part, sweep in (("hind", pose.sweep[1]), ("fore", pose.sweep[0])):
            sheets.append(_wing_sheet(pose, side, opening, part, sweep, sun))
    return sorted(sheets, key=lambda sheet: sheet.depth)


def _body_sheet(pose: Pose) -> Sheet:
    # A body is round: it shows the camera the same breadth from every side.
    across = pose.view((np.cos(pose.roll), 0.0, np.sin(pose.roll)))
    ahead = pose.view((0.0, 1.0, 0.0))
    return Sheet("body", np.zeros(3), across, ahead, 0.3 * float(np.cos(pose.roll)), 1.0)


def _wing_sheet(
    pose: Pose, side: int, opening: float, part: str, sweep: float, sun: Floats
) -> Sheet:
    out = pose.view((side * np.cos(opening), 0.0, np.sin(opening)))
    ahead = pose.view((0.0, 1.0, 0.0))
    normal = pose.view((-side * np.sin(opening), 0.0, np.cos(opening)))
    under = normal[2] < 0
    base = out * 0.03 + ahead * (0.05 if part == "fore" else 0.0)
    # The fore wing lies on the hind wing, and so below it as seen from beneath.
    depth = out[2] * 0.5 + (0.01 if (part == "fore") != under else 0.0)
    brightness = 0.7 + 0.4 * abs(float(np.sum(normal * sun)))
    texture = f"{part} {'under' if under else 'upper'}"
    return Sheet(texture, base, *_turn(out, ahead, -sweep), depth, brightness)


@dataclass(frozen=True)
class Light:
    """The light of one scene."""

    sun: Floats  # unit vector towards the sun, (3,)
    tint: Floats  # factors of the individual's colours, (3,)
    gleam: Floats  # factor of a wing's brightness at each pixel of the image
    gloom: float  # the opacity of shadows

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int, sheen: float) -> "Light":
        sun = rng.normal((0, 0, 1.5), 1)
        return cls(
            sun=sun / np.sqrt(np.sum(sun**2)),
            tint=rng.normal(1, 0.025, 3) * rng.uniform(0.88, 1.12),
            gleam=1 + (0.16 + sheen) * fractal(rng, size, (3, 3), 2),
            gloom=rng.uniform(0.1, 0.45),
        )


def _place(species: Species, rng: np.random.Generator, picture: Image.Image) -> None:
    """Paint an individual of the species onto `picture`, in place."""
    light = Light.draw(rng, picture.width, species.sheen)
    sheets = _sheets(Pose.draw(rng), light.sun)
    scale, x, y = _frame(species, sheets, rng, picture.width)
    drawn = textures(species, round(picture.width * 0.85))
    for sheet in sheets:
        texture = drawn[sheet.texture]
        matrix = sheet.warp(texture.width, scale * DISTANCE, x, y)
        left, top, right, bottom = box = _box(matrix, texture, picture.width)
        if left < right and top < bottom:
            piece = _bend(texture, matrix, box)
            _cast(picture, piece, box, light)
            gleam = sheet.brightness * light.gleam[top:bottom, left:right, None] * light.tint
            lit = Image.fromarray(_bytes(np.asarray(piece.convert("RGB")) * gleam))
            picture.paste(lit, (left, top), piece.getchannel("A"))


def _frame(
    species: Species, sheets: list[Sheet], rng: np.random.Generator, size: int
) -> tuple[float, float, float]:
    """Return the scale (pixels per fore-wing length) and the body's position x, y in pixels.

    With them, the butterfly about fills the image.
    """
    outlines = {"fore": outline(species.fore), "hind": outline(species.hind)}
    outlines["body"] = np.array([[0.0, 0.25], [0.0, -species.abdomen]])
    points = [sheet.project(outlines[sheet.texture.split()[0]]) for sheet in sheets]
    low, high = np.concatenate(points).min(0), np.concatenate(points).max(0)
    scale = size * np.clip(rng.normal(0.95, 0.09), 0.68, 1.12) / (high - low).max()
    x, y = size / 2 + rng.normal(0, 0.035, 2) * size - scale * (low + high) / 2 * (1, -1)
    return scale, x, y


def _box(matrix: Floats, texture: Image.Image, size: int) -> Box:
    """Return the box of the image that contains the texture's opaque pixels."""
    left, top, right, bottom = texture.getbbox() or (0, 0, 1, 1)
    corners = np.array([(x, y, 1) for x in (left, right) for y in (top, bottom)])
    x, y, w = (np.sum(row * corners, axis=1) for row in matrix)
    edges = np.array([np.min(x / w), np.min(y / w), np.max(x / w) + 1, np.max(y / w) + 1])
    x0, y0, x1, y1 = edges.clip(0, size).astype(int).tolist()
    return x0, y0, x1, y1


def _bend(texture: Image.Image, matrix: Floats, box: Box) -> Image.Image:
    """Return the texture in perspective, cropped to `box` of the image."""
    matrix = matrix - np.outer((box[0], box[1], 0), matrix[2])
    # This is the inverse except for a factor, which cancels in homogeneous coordinates.
    inverse = np.cross(matrix[:, [1, 2, 0]], matrix[:, [2, 0, 1]], axis=0).T
    data = (inverse / inverse[2, 2]).ravel()[:8].tolist()
    size = (box[2] - box[0], box[3] - box[1])
    return texture.transform(size, Image.Transform.PERSPECTIVE, data, Image.Resampling.BILINEAR)


def _cast(picture: Image.Image, piece: Image.Image, box: Box, light: Light) -> None:
    """Darken `picture`, in place, by the shadow of `piece`."""
    size = picture.width
    right, up = light.sun[:2] * 0.04 * size
    shadow = Image.new("L", picture.size)
    corner = (round(box[0] - right), round(box[1] + up))
    shadow.paste(round(255 * light.gloom), corner, piece.getchannel("A"))
    picture.paste((12, 14, 12), mask=shadow.filter(ImageFilter.BoxBlur(0.025 * size)))


def _bytes(pixels: Floats) -> NDArray[np.uint8]:
    return np.asarray(np.rint(pixels.clip(0, 255)), dtype=np.uint8)


def _expose(picture: Image.Image, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Apply a camera's effects: focus, saturation, white balance, contrast, vignetting, noise."""
    size = picture.width
    blur = size * rng.uniform(0.0004, 0.0028)
    pixels = np.asarray(picture.filter(ImageFilter.GaussianBlur(blur)), dtype=np.float64)
    # Channels are added one by one, since numpy's sum along a short axis is slow.
    grey = (pixels[..., :1] + pixels[..., 1:2] + pixels[..., 2:]) / 3
    pixels = grey + (pixels - grey) * rng.normal(1.0, 0.14)
    warmth = 1 + rng.normal(0, 0.05) * np.array([1, 0, -1]) + rng.normal(0, 0.015, 3)
    contrast = rng.uniform(0.88, 1.18)
    pixels = pixels * (contrast * rng.uniform(0.88, 1.26) * warmth)
    pixels = pixels + 118 * (1 - contrast) + rng.normal(0, 7)
    off = (np.arange(size) - size / 2) / size
    distance = off[:, None, None] ** 2 + off[None, :, None] ** 2
    pixels = pixels * (1 - rng.uniform(0, 0.6) * distance)
    noise = rng.normal(0, 1, (size, size, 3))
    noise = noise + rng.uniform(1.6, 3.5) * noise[..., :1]
    return _bytes(pixels + noise)
