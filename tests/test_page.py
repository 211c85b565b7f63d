"""Words of pages."""

from __future__ import annotations

import pytest

from invset.report.page import of_medium


@pytest.mark.parametrize(
    ("noun", "wanted"),
    [
        ("image", "Real images: 3 real images, a real image, unreal images"),
        ("row", "Real rows: 3 real rows, a real row, unreal images"),
        ("<b>", "Real images: 3 real images, a real image, unreal images"),
        (None, "Real images: 3 real images, a real image, unreal images"),
    ],
)
def test_real_images_are_called_as_the_medium_calls_them(noun: object, wanted: str) -> None:
    text = "Real images: 3 real images, a real image, unreal images"
    assert of_medium(text, noun) == wanted
