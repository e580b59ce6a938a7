import base64
import io
from typing import Any

import pytest
from PIL import Image

from grader import pictures
from grader.notebook import Cell, Notebook


def image(format: str, size: tuple[int, int] = (5, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("L", size).save(file, format, **({"progressive": True} if format == "JPEG" else {}))
    return file.getvalue()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def notebook(*data: Any) -> Notebook:
    outputs = tuple({"output_type": "display_data", "data": {"image/png": item}} for item in data)
    return Notebook((Cell(0, None, "code", "", outputs=outputs),))


PNG, JPEG = image("PNG"), image("JPEG")


def test_curves_are_the_png_outputs_in_order() -> None:
    other = image("PNG", (7, 7))
    assert pictures.curves(notebook(encoded(PNG) + "\n", [encoded(other)[:10], encoded(other)[10:]])) == (PNG, other)


def test_outputs_that_are_no_png_of_sound_size_are_left_out() -> None:
    huge = bytearray(PNG)
    huge[16:24] = b"\xff" * 8
    heavy = PNG + bytes(pictures.MAX_BYTES)
    assert pictures.curves(notebook("%%%", 7, [7], encoded(JPEG), encoded(bytes(huge)), encoded(heavy), encoded(PNG[:20]))) == ()


def test_curves_are_capped() -> None:
    assert len(pictures.curves(notebook(*[encoded(PNG)] * 50))) == pictures.MAX_CURVES


def test_other_outputs_do_not_matter() -> None:
    odd: tuple[dict[str, Any], ...] = ({"output_type": "stream", "text": "x"}, {"data": []}, {"data": {"text/plain": "x"}})
    assert pictures.curves(Notebook((Cell(0, None, "code", "", outputs=odd),))) == ()


@pytest.mark.parametrize(("data", "kind"), [(PNG, "png"), (JPEG, "jpeg")])
def test_attachments_that_the_text_uses_are_kept(data: bytes, kind: str) -> None:
    cell = Cell(0, None, "markdown", "", attachments={"a": {"image/png": encoded(data)}, "b": {"image/png": encoded(data)}})
    text, found = pictures.attached(cell, "![](attachment:a)")
    assert text == "![](attachment:a)"
    assert found == {"a": f"data:image/{kind};base64,{encoded(data)}"}


def test_attachments_of_other_kinds_are_left_out() -> None:
    svg = {"image/svg+xml": encoded(b"<svg onload='x'/>")}
    cell = Cell(0, None, "markdown", "", attachments={"a": svg, "b": {}, "c": {"image/png": 3}})
    assert pictures.attached(cell, "attachment:a attachment:b attachment:c")[1] == {}


def test_pictures_in_the_text_become_attachments() -> None:
    cell = Cell(0, None, "markdown", "")
    text, found = pictures.attached(cell, f"see ![](data:image/png;base64,{encoded(PNG)}) and more")
    assert text == "see ![](attachment:inline-1) and more"
    assert found == {"inline-1": f"data:image/png;base64,{encoded(PNG)}"}


def test_svg_in_the_text_is_replaced_by_a_remark() -> None:
    text, found = pictures.attached(Cell(0, None, "markdown", ""), f"![](data:image/svg+xml;base64,{encoded(b'<svg/>')})")
    assert found == {}
    assert "left out" in text
    assert "svg" not in text


def test_attachments_are_capped() -> None:
    inline = f"![](data:image/png;base64,{encoded(PNG)}) " * 20
    text, found = pictures.attached(Cell(0, None, "markdown", ""), inline)
    assert len(found) == pictures.MAX_ATTACHMENTS
    assert text.count("left out") == 20 - pictures.MAX_ATTACHMENTS
