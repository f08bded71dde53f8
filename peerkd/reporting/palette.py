"""The colours of heat maps and lines. Colour-blind readers can distinguish them.

Heat maps are blue above zero and orange below. A cell has one of a few shades, so the page needs only one CSS rule for
each shade and theme, and a test can check that the text on every shade is readable.
"""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

Theme: TypeAlias = Literal["light", "dark"]
Rgb: TypeAlias = tuple[int, int, int]

NUM_STEPS: Final = 7
"""The number of shades for values above zero. Values below zero have as many."""

_INKS: Final[tuple[Rgb, ...]] = ((0, 0, 0), (255, 255, 255))
"""The colours of text in cells: pure black and pure white. Less extreme colours would not reach a contrast of 4.5 on
every background."""


class Ends(NamedTuple):
    """The colours of a heat map at zero and at the largest positive and negative values."""

    middle: Rgb
    positive: Rgb
    negative: Rgb


class Shade(NamedTuple):
    """A background colour, and the colour of text that is more readable on it."""

    background: Rgb
    ink: Rgb


ENDS: Final[dict[Theme, Ends]] = {
    "light": Ends(middle=(245, 245, 243), positive=(33, 102, 172), negative=(179, 88, 6)),
    "dark": Ends(middle=(38, 43, 48), positive=(92, 168, 240), negative=(236, 146, 52)),
}


PAGE: Final[dict[Theme, Rgb]] = {"light": (252, 252, 251), "dark": (22, 25, 28)}
"""The background of the page behind lines, as in style.css."""

LINES: Final[dict[Theme, tuple[Rgb, ...]]] = {
    "light": ((33, 102, 172), (190, 84, 0), (0, 121, 90), (150, 60, 130), (122, 92, 0)),
    "dark": ((92, 168, 240), (240, 148, 77), (63, 192, 154), (219, 143, 205), (214, 180, 60)),
}
"""The colours of the lines of a chart, in the CSS variables ``--l0`` to ``--l4``. The lines also differ by their
dashes, which the script of the charts knows."""


def step_class(value: float, *, limit: float) -> str:
    """Return the CSS class of a value: z for the middle, p1 to p7 above zero, n1 to n7 below, empty for NaN.

    Args:
        value: The value.
        limit: The smallest magnitude, above 0, of values with the last step, p7 or n7.
    """
    if value != value:
        return ""
    step = min(NUM_STEPS, round(abs(value) / limit * NUM_STEPS))
    return f"{'p' if value > 0 else 'n'}{step}" if step else "z"


def shades(theme: Theme) -> dict[str, Shade]:
    """Return the shade of each class that ``step_class`` returns."""
    ends = ENDS[theme]
    mixed = {"z": ends.middle}
    for step in range(1, NUM_STEPS + 1):
        mixed[f"p{step}"] = _mix(ends.middle, ends.positive, step / NUM_STEPS)
        mixed[f"n{step}"] = _mix(ends.middle, ends.negative, step / NUM_STEPS)
    return {name: Shade(colour, max(_INKS, key=lambda ink: contrast(colour, ink))) for name, colour in mixed.items()}


def css() -> str:
    """Return the CSS rules of all classes that ``step_class`` returns, for both themes."""
    light, dark = ("\n".join(_rules(theme)) for theme in ("light", "dark"))
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def line_css() -> str:
    """Return the CSS variables with the colours of the lines of charts, in both themes."""
    light, dark = (
        "\n".join(f":root{{--l{index}:{_hexadecimal(colour)}}}" for index, colour in enumerate(LINES[theme]))
        for theme in ("light", "dark")
    )
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def contrast(one: Rgb, other: Rgb) -> float:
    """Return the contrast ratio of two colours as WCAG 2.2 defines it, from 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _rules(theme: Literal["light", "dark"]) -> Iterator[str]:
    for name, (background, ink) in shades(theme).items():
        # Charts use the variables, and cells of tables the classes.
        yield f":root{{--{name}:{_hexadecimal(background)};--{name}-ink:{_hexadecimal(ink)}}}"
        yield f".{name}{{background:{_hexadecimal(background)};color:{_hexadecimal(ink)}}}"


def _mix(start: Rgb, end: Rgb, share: float) -> Rgb:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(start, end, strict=True))
    return red, green, blue


def _luminance(colour: Rgb) -> float:
    red, green, blue = (_linear(channel / 255) for channel in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def _hexadecimal(colour: Rgb) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in colour)
