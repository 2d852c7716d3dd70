"""Draw invented butterfly species: numbers for the wings, pattern, colours and body.

A species depends only on its key, a text. The bundled species have keys "target/<name>" and a hint,
with which they resemble the real species of that name. Other keys ("source/17") have random numbers
only. Few palettes serve many species, so that shape and pattern distinguish species.
"""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from provenance.noise import stream

# Inks in this order: ground, dark, accent, second accent, light, and the tone of the underside.
PALETTES = {
    "chalk": "ece9da 282424 d9a441 77755f fbfaf2 b8b27c",
    "amber": "d8701c 17100e f0b54a 7d3614 f5eee0 bf9463",
    "azure": "3173c9 121626 7fb6ea d9762b eef2f6 a8a195",
    "umber": "6b4a30 241812 c88b3d a5622f ead9b4 8d7355",
    "jade": "1d3029 141615 35b79a 9bc93f ecefd6 6b5a45",
    "sulphur": "ecc734 1d1812 e0852a a9a14a f8f0c2 d0b75c",
    "ember": "38201b 171213 c8321f e08b2c f2ecdf 5a4334",
    "slate": "3a3d47 131318 8793a6 c86a3a e6e6e2 88827c",
    "violet": "3a2a6e 100d1c 5e6fe0 c2527a eeeaf4 75634f",
    "tawny": "c08a4a 33210f e3bf78 7a4b22 f4e9cb a98a61",
}

IRIDESCENT = ("azure", "jade", "violet")
# Share of the underside's tone that is mixed into each ink.
TINT = 0.25  # share of a random colour in the inks of a species without a hint
DULLING = (0.65, 0.30, 0.30, 0.30, 0.15, 0.0)

# Fore wing: leading edge, span (degrees); trailing length, bulge, hook. Hind wing: length, span
# (degrees), bulge. Both: scallop. Tail: length. Body: width.
FORMS = {
    "white": (46, 68, 0.66, 0.06, 0.00, 0.80, 124, 0.30, 0.000, 0.00, 0.062),
    "brush": (44, 64, 0.62, 0.02, 0.06, 0.78, 124, 0.28, 0.022, 0.00, 0.075),
    "ragged": (42, 66, 0.62, 0.00, 0.15, 0.76, 120, 0.20, 0.050, 0.10, 0.075),
    "tailed": (50, 62, 0.60, 0.00, 0.03, 0.86, 110, 0.22, 0.026, 0.36, 0.077),
    "ribbon": (56, 56, 0.62, 0.02, 0.00, 0.90, 88, 0.12, 0.018, 0.55, 0.069),
    "blue": (42, 70, 0.70, 0.06, 0.00, 0.80, 120, 0.32, 0.000, 0.00, 0.070),
    "hair": (46, 66, 0.68, 0.03, 0.00, 0.80, 118, 0.26, 0.010, 0.20, 0.075),
    "long": (34, 46, 0.50, 0.08, 0.00, 0.60, 112, 0.22, 0.000, 0.00, 0.057),
    "satyr": (42, 70, 0.70, 0.08, 0.00, 0.82, 122, 0.34, 0.014, 0.00, 0.062),
    "skipper": (40, 52, 0.56, 0.00, 0.00, 0.66, 108, 0.22, 0.000, 0.00, 0.100),
    "glider": (48, 60, 0.56, 0.00, 0.05, 0.66, 116, 0.26, 0.016, 0.00, 0.083),
}

# Marks in the order of painting: shape; inks to choose from; ranges of place (0 at the wing's base,
# 1 at its margin), of size, and of tilt (its meaning depends on the shape).
MARKS: dict[str, tuple[str, tuple[int, ...], tuple[float, ...]]] = {
    "base": ("base", (1, 2, 3), (0.0, 0.0, 0.30, 0.48, 0.0, 0.4)),
    "blush": ("base", (2, 3, 4), (0.0, 0.0, 0.50, 0.68, 0.0, 0.5)),
    "marble": ("marble", (1, 3, 5), (0.0, 0.0, -0.05, 0.12, 0.5, 1.0)),
    "checks": ("checks", (1, 2, 4), (3.0, 5.0, 0.6, 0.85, 0.0, 0.5)),
    "rays": ("rays", (1, 2, 4), (0.25, 0.50, 0.26, 0.40, 0.0, 0.0)),
    "stripes": ("stripes", (1, 2, 4), (4.0, 7.0, 0.42, 0.55, -0.9, 0.9)),
    "band": ("band", (1, 2, 4), (0.45, 0.70, 0.13, 0.24, -0.3, 0.3)),
    "line": ("band", (1, 4), (0.35, 0.75, 0.05, 0.08, -0.4, 0.4)),
    "bar": ("bar", (2, 4), (0.30, 0.46, 0.13, 0.22, 0.0, 0.45)),
    "apex": ("apex", (1, 1, 2), (0.52, 0.72, 0.0, 0.0, 0.3, 0.8)),
    "margin": ("margin", (1, 1, 1, 3), (0.0, 0.0, 0.09, 0.19, 0.0, 0.5)),
    "border": ("margin", (2, 4, 4), (0.0, 0.0, 0.05, 0.08, 0.0, 0.5)),
    "veins": ("veins", (1,), (0.0, 0.0, 0.011, 0.020, 0.0, 0.0)),
    "bars": ("bars", (1, 1, 4), (2.0, 3.5, 0.4, 0.6, 0.0, 0.0)),
    "spots": ("spots", (1, 2, 4), (0.62, 0.78, 0.040, 0.065, -0.4, 0.6)),
    "discs": ("disc", (1, 1, 2), (0.38, 0.60, 0.060, 0.095, 0.25, 0.75)),
    "lunules": ("lunules", (2, 3, 4), (0.74, 0.88, 0.045, 0.070, 0.2, 0.6)),
    "dots": ("spots", (4, 4, 2), (0.88, 0.92, 0.020, 0.032, -0.2, 0.2)),
    "eyes": ("disc", (2, 3, 4), (0.58, 0.72, 0.100, 0.150, 0.25, 0.75)),
}

# Palette, `d` to exchange ground and dark, form, and marks.
HINTS = {
    "adonis_blue": "azure blue border line",
    "american_snout": "umber ragged blush apex spots",
    "banded_peacock": "jade tailed bar lunules",
    "beckers_white": "chalk white marble discs spots",
    "black_hairstreak": "umber hair line lunules border",
    "brown_argus": "umber blue lunules border",
    "cabbage_white": "chalk white apex discs",
    "chestnut": "tawny brush margin eyes bars",
    "clodius_parnassian": "chalk white base eyes bars margin",
    "clouded_sulphur": "sulphur white margin discs",
    "common_buckeye": "tawny brush eyes bar bars",
    "copper_tail": "amber brush rays margin dots",
    "crescent": "amber brush checks margin lunules",
    "crimson_patch": "ember d brush blush spots dots",
    "eastern_comma": "amber ragged margin discs spots",
    "eighty_eight": "ember brush bar stripes eyes",
    "gold_banded": "ember brush bar border",
    "great_eggfly": "violet d brush discs eyes dots",
    "grey_hairstreak": "slate hair line eyes border",
    "heath_fritillary": "amber brush stripes veins margin",
    "indra_swallowtail": "slate d tailed line lunules dots",
    "julia": "amber long margin line",
    "large_marble": "chalk white marble apex",
    "malachite": "jade tailed discs band spots",
    "mangrove_skipper": "violet d skipper rays line",
    "map_butterfly": "tawny brush veins stripes apex",
    "metalmark": "azure d ribbon bar base border",
    "monarch": "amber glider veins margin dots",
    "morpho": "azure brush margin apex dots",
    "mourning_cloak": "ember brush border spots",
    "orange_oakleaf": "azure ragged bar apex",
    "orange_tip": "chalk white apex blush",
    "orchard_swallowtail": "chalk d tailed blush lunules dots",
    "painted_lady": "amber brush apex bars spots discs",
    "paper_kite": "chalk glider veins discs rays",
    "peacock": "ember d brush eyes bars border",
    "pine_white": "chalk glider veins apex bars",
    "pipevine_swallowtail": "azure d tailed blush spots dots",
    "purple_hairstreak": "violet hair blush margin",
    "red_admiral": "ember brush bar border dots",
    "red_spotted_purple": "slate d brush blush lunules spots",
    "scarce_swallowtail": "sulphur ribbon stripes eyes margin",
    "silver_spotted_skipper": "umber skipper bar discs apex",
    "sootywing": "slate d skipper dots margin",
    "southern_dogface": "sulphur white margin base eyes",
    "two_barred_flasher": "jade ribbon base bar line",
    "viceroy": "amber brush veins band margin dots",
    "wood_satyr": "tawny satyr eyes line border",
    "yellow_swallowtail": "sulphur tailed veins margin bars lunules",
    "zebra_longwing": "sulphur d long stripes dots",
}
SPECIES = tuple(sorted(HINTS))

Colour = tuple[float, ...]


@dataclass(frozen=True)
class Wing:
    """A wing's outline in polar coordinates around its base; lengths are in fore-wing lengths.

    Angles are in radians, anticlockwise from the sideways direction. `start` is the angle of the
    leading edge, and `span` the angle from there to the trailing edge.
    """

    start: float
    span: float
    length: float
    trailing: float
    bulge: float
    hook: float
    wave: float
    bend: float
    scallop: float
    cells: int
    tails: tuple[tuple[float, float, float], ...] = ()  # place across the span, length, width


@dataclass(frozen=True)
class Mark:
    """One layer of a pattern, limited to the cells from `first` to `last` (0 to 1 across)."""

    shape: str
    ink: int
    place: float
    size: float
    tilt: float  # a slope or another property; its meaning depends on the shape
    first: float = 0.0
    last: float = 1.0


Pattern = tuple[tuple[Mark, ...], tuple[Mark, ...]]


@dataclass(frozen=True)
class Species:
    """Properties that all individuals of a species share.

    `upper` and `under` contain the marks of (fore wing, hind wing) in the order of painting. Inks
    are RGB from 0 to 255.
    """

    key: str
    fore: Wing
    hind: Wing
    upper: Pattern
    under: Pattern
    inks: tuple[Colour, ...]
    under_inks: tuple[Colour, ...]
    body: float  # half its width; this and the next two in fore-wing lengths
    abdomen: float
    antenna: float
    sheen: float  # how much a wing's brightness varies with the light


@functools.cache
def draw_species(key: str) -> Species:
    """Return the species of `key`; "target/<name>" with a name in SPECIES is a bundled species."""
    rng = stream("species", key)
    hint = HINTS.get(key.removeprefix("target/"), "").split()
    family = hint[0] if hint else str(rng.choice(list(PALETTES)))
    form = next((word for word in hint if word in FORMS), None) or str(rng.choice(list(FORMS)))
    inks = [_colour(ink) for ink in PALETTES[family].split()]
    if not hint:  # change the palette, so that source species do not share the targets' colours
        inks = [_mix(ink, tuple(rng.uniform(0, 255, 3).tolist()), TINT) for ink in inks]
    if "d" in hint or (not hint and rng.random() < 0.35):
        inks[:2] = inks[1::-1]
    fore, hind = _fore_wing(rng, FORMS[form]), _hind_wing(rng, FORMS[form])
    body = _near(rng, FORMS[form][-1])
    upper, under = _patterns(rng, [word for word in hint if word in MARKS])
    return Species(
        key=key,
        fore=fore,
        hind=hind,
        upper=upper,
        under=under,
        inks=tuple(inks),
        under_inks=tuple(map(_mix, inks, [inks[5]] * len(inks), DULLING)),
        body=body,
        abdomen=rng.uniform(0.36, 0.52),
        antenna=rng.uniform(0.38, 0.52),
        sheen=rng.uniform(0.3, 0.6) if family in IRIDESCENT else 0.05,
    )


def _colour(text: str) -> Colour:
    return tuple(float(byte) for byte in bytes.fromhex(text))


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    return tuple(a + share * (b - a) for a, b in zip(one, other, strict=True))


def _near(rng: np.random.Generator, value: float, spread: float = 0.12) -> float:
    return value * rng.uniform(1 - spread, 1 + spread)


def _fore_wing(rng: np.random.Generator, form: tuple[float, ...]) -> Wing:
    lead, span, trailing, bulge, hook, _, _, _, scallop, _, _ = form
    return Wing(
        start=_near(rng, math.radians(lead)),
        span=_near(rng, math.radians(span)),
        length=1.0,
        trailing=_near(rng, trailing),
        bulge=bulge + rng.uniform(-0.03, 0.04),
        hook=_near(rng, hook, 0.5),
        wave=rng.uniform(-0.03, 0.03),
        bend=rng.uniform(-0.10, 0.16),
        scallop=_near(rng, scallop, 0.5) * 0.5,
        cells=int(rng.integers(6, 9)),
    )


def _hind_wing(rng: np.random.Generator, form: tuple[float, ...]) -> Wing:
    _, _, _, _, _, length, span, bulge, scallop, tail, _ = form
    return Wing(
        start=rng.uniform(0.3, 0.55),
        span=_near(rng, math.radians(span), 0.06),
        length=_near(rng, length, 0.06),
        trailing=rng.uniform(0.6, 0.8),
        bulge=_near(rng, bulge, 0.3),
        hook=0.0,
        wave=rng.uniform(-0.06, 0.06),
        bend=rng.uniform(-0.1, 0.1),
        scallop=_near(rng, scallop, 0.5),
        cells=int(rng.integers(6, 9)),
        tails=_tails(rng, _near(rng, tail, 0.3)),
    )


def _tails(rng: np.random.Generator, length: float) -> tuple[tuple[float, float, float], ...]:
    if length == 0:
        return ()
    first = (rng.uniform(0.66, 0.84), length, rng.uniform(0.03, 0.06))
    second = (first[0] + rng.uniform(0.1, 0.14), length * rng.uniform(0.3, 0.6), 0.03)
    return (first, second) if rng.random() < 0.3 else (first,)


def _patterns(rng: np.random.Generator, words: list[str]) -> tuple[Pattern, Pattern]:
    """Return the marks of the upper side and of the underside.

    The underside has most marks of the upper side, and one extra mark.
    """
    if not words:
        words = list(rng.choice(list(MARKS), rng.integers(3, 6), replace=False))
    upper: list[list[Mark]] = [[], []]
    under: list[list[Mark]] = [[], []]
    extra = str(rng.choice(["marble", "line", "discs", "eyes", "veins", "stripes"]))
    for word in MARKS:
        if word not in words and word != extra:
            continue
        has_mark = _wings_with_mark(rng, word)
        for wing, marks in enumerate(_marks(rng, word)):
            if word in words and has_mark[wing]:
                upper[wing] += marks
            if word == extra or (has_mark[wing] and rng.random() < 0.8):
                under[wing] += marks
    return (tuple(upper[0]), tuple(upper[1])), (tuple(under[0]), tuple(under[1]))


def _wings_with_mark(rng: np.random.Generator, word: str) -> tuple[bool, bool]:
    """Return whether the fore wing and the hind wing have the mark; at least one has it."""
    if word == "apex":
        return True, False
    if word == "bar":
        return True, True
    lot = rng.random()
    return lot > 0.15, lot < 0.15 or lot > 0.35


def _marks(rng: np.random.Generator, word: str) -> tuple[list[Mark], list[Mark]]:
    """Return a mark's layers for the fore wing and the hind wing, similar but not equal."""
    shape, inks, ranges = MARKS[word]
    ink = int(rng.choice(inks))
    place, size, tilt = (rng.uniform(ranges[i], ranges[i + 1]) for i in (0, 2, 4))
    both = []
    for _ in range(2):
        mark = Mark(shape, ink, place * rng.uniform(0.93, 1.07), size, tilt, *_reach(rng, word))
        both.append(_eye(mark) if word == "eyes" else [mark])
    return both[0], both[1]


def _reach(rng: np.random.Generator, word: str) -> tuple[float, float]:
    if word in ("spots", "band", "lunules"):
        return max(0.0, rng.uniform(-0.3, 0.3)), min(1.0, rng.uniform(0.7, 1.3))
    return 0.0, 1.0


def _eye(ring: Mark) -> list[Mark]:
    core = replace(ring, ink=1, size=ring.size * 0.68)
    return [ring, core, replace(core, ink=4, size=ring.size * 0.25)]
