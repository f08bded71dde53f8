import math

import pytest

from peerkd.reporting.palette import LINES, NUM_STEPS, PAGE, contrast, css, line_css, shades, step_class


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable_on_every_shade(theme):
    for name, shade in shades(theme).items():
        assert contrast(shade.background, shade.ink) >= 4.5, name


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_larger_values_stand_out_more_from_the_middle(theme):
    middle = shades(theme)["z"].background
    for side in "pn":
        ratios = [contrast(middle, shades(theme)[f"{side}{step}"].background) for step in range(1, NUM_STEPS + 1)]
        assert ratios == sorted(ratios)


def test_contrast_is_that_of_wcag():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


def test_steps_are_centred_on_zero():
    assert step_class(0.0, limit=1) == "z"
    assert step_class(1.0, limit=1) == f"p{NUM_STEPS}"
    assert step_class(-1.0, limit=1) == f"n{NUM_STEPS}"
    assert step_class(99.0, limit=1) == f"p{NUM_STEPS}"
    assert step_class(-0.5, limit=1).replace("n", "p") == step_class(0.5, limit=1)
    assert step_class(math.nan, limit=1) == ""


def test_every_step_has_a_rule_in_both_themes():
    rules = css()
    for name in shades("light"):
        assert rules.count(f".{name}{{") == 2


def test_every_line_is_visible_on_its_page():
    for theme, colours in LINES.items():
        assert all(contrast(colour, PAGE[theme]) >= 3 for colour in colours)


def test_every_line_has_a_colour_in_both_themes():
    rules = line_css()
    assert all(rules.count(f"--l{index}:") == 2 for index in range(5))
