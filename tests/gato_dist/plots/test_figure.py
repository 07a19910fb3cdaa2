"""SVG of charts: complete, self-contained, reproducible, and safe for any name."""

import logging
import re
import subprocess
import sys
import warnings
from xml.etree import ElementTree

import pytest

from gato_dist.plots.curves import draw_learning_curves
from gato_dist.plots.figure import task_styles, to_svg
from gato_dist.plots.fraction_bars import draw_fraction_bars
from gato_dist.plots.text import number_text, printable, score_text, shorten
from tests.gato_dist.plots.helpers import HOSTILE, row, texts
from tests.support.paths import ROOT

ROWS = [[], [row()], [row(fraction=None)], [row(HOSTILE), row("ale/\x00\ud7ff日本")]]


@pytest.mark.parametrize("draw", [draw_fraction_bars, draw_learning_curves])
@pytest.mark.parametrize("rows", ROWS, ids=["no rows", "one row", "no expert", "hostile names"])
def test_an_svg_is_a_complete_file_that_loads_nothing(draw, rows, caplog):
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = to_svg(draw(rows))
    assert caplog.records == []
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.find("{http://www.w3.org/2000/svg}title").text == draw(rows).get_suptitle()
    assert not re.search(r"<script|<image|@import|url\((?!#)|href=\"(?!#)|<metadata", svg)


def test_a_name_with_markup_or_formula_is_shown_as_text():
    figure = draw_fraction_bars([row(HOSTILE)])
    svg = to_svg(figure)
    assert HOSTILE.removeprefix("ale/") in texts(figure)
    assert "&lt;script&gt;" in svg
    assert "$x$" in svg


def test_equal_input_gives_equal_bytes_whatever_the_users_style():
    import matplotlib

    rows = [row("ale/a"), row("ale/b", 0.2, step=200)]
    first = to_svg(draw_learning_curves(rows))
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path"}):
        assert to_svg(draw_learning_curves(rows)) == first
    assert matplotlib.rcParams["text.parse_math"] is True  # the style ends with the chart


def test_ids_within_an_svg_are_unique():
    ids = re.findall(r'\bid="([^"]+)"', to_svg(draw_fraction_bars([row("ale/a"), row("ale/b")])))
    assert len(ids) == len(set(ids))


def test_a_task_has_the_same_colour_in_every_chart():
    rows = [row("b/x"), row("a/y")]
    assert task_styles(rows)["b/x"] == task_styles([*rows, row("b/x", step=200)])["b/x"]
    assert task_styles(rows)["b/x"] != task_styles(rows)["a/y"]


def test_importing_the_modules_of_charts_does_not_import_matplotlib():
    code = "import sys, gato_dist.report.run_page, gato_dist.report.compare; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_numbers_have_a_minus_sign_and_a_dash_for_what_is_unknown():
    assert [number_text(value) for value in (-1.5, -0.0, None, float("nan"))] == ["−1.50", "0.00", "–", "–"]
    assert [score_text(value) for value in (0.12345, -12345.6)] == ["0.123", "−12,346"]


def test_long_and_unprintable_names_are_shortened_and_cleaned():
    assert len(shorten("x" * 99)) == 36
    assert printable("a\x00b\n\tc\u202e") == "a\ufffdb\n\tc\ufffd"
