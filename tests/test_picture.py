"""Pictures as a person sees them, out of whatever is called a picture."""

from __future__ import annotations

import io
import os
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from invset.errors import InvsetError
from invset.files.images import decode, load_images
from invset.files.picture import MOST_PIXELS, opened, seen

ORANGE = (200, 120, 40)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def flat(mode: str, value: object) -> Image.Image:
    return Image.new(mode, (4, 3), value)  # type: ignore[arg-type]


def lab(colour: tuple[int, int, int]) -> Image.Image:
    profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
    found = ImageCms.profileToProfile(flat("RGB", colour), *profiles, outputMode="LAB")
    assert found is not None
    return found


def floats(values: object, kind: str) -> Image.Image:
    return Image.fromarray(np.full((3, 4), values, kind))


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (flat("1", 1), "PNG", (255,) * 3),
        (flat("L", 77), "PNG", (77,) * 3),
        (flat("LA", (0, 127)), "PNG", (128,) * 3),
        (flat("RGBA", (0, 0, 0, 0)), "PNG", (255,) * 3),  # what is transparent has no colour
        (flat("RGBA", (*ORANGE, 255)), "WEBP", ORANGE),
        (flat("RGB", ORANGE).quantize(4), "GIF", ORANGE),
        (flat("CMYK", (0, 0, 255, 0)), "TIFF", (255, 255, 0)),
        (flat("RGB", ORANGE).convert("YCbCr"), "TIFF", ORANGE),
        (lab(ORANGE), "TIFF", ORANGE),
        (floats(77 * 257, "u2"), "PNG", (77,) * 3),
        (floats(77 * 257, "u2"), "TIFF", (77,) * 3),
        (floats(77 * 257, "i4"), "PPM", (77,) * 3),
        (floats(77 / 255, "f4"), "TIFF", (77,) * 3),
    ],
)
def test_every_mode_is_what_a_person_sees(image, kind, expected):
    data = encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    try:
        Image.open(io.BytesIO(data)).load()
    except OSError:
        pytest.skip("Pillow before 13 can't read the TIFF in YCbCr that it writes")
    found = decode(data, None)
    assert found.shape == (3, 4, 3)
    assert np.abs(found.astype(int) - expected).max() <= 3


def test_hues_that_only_memory_holds():
    hsv = flat("RGB", ORANGE).convert("HSV")
    assert np.abs(np.asarray(seen(hsv)).astype(int) - ORANGE).max() <= 3


@pytest.mark.parametrize(("mode", "which"), [("RGB", (5, 0, 0)), ("L", 5), ("P", 0)])
def test_a_colour_of_a_file_can_be_transparent(mode, which):
    image = flat("RGB", ORANGE).quantize(4) if mode == "P" else flat(mode, 5)
    assert (decode(encoded(image, "PNG", transparency=which), None) == 255).all()


@pytest.mark.parametrize(
    ("values", "kind"), [(-1, "i4"), (1 << 17, "i4"), (1.5, "f4"), (np.nan, "f4")]
)
def test_numbers_of_which_nobody_knows_the_white(tmp_path, values, kind):
    floats(values, kind).save(tmp_path / "a.tif")
    with pytest.raises(InvsetError, match=r"a\.tif in .*would be white; save it with 8 or 16 bits"):
        load_images(tmp_path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(orientation):
    """The camera's top left is where EXIF says: a dark spot is brought there and back."""
    upright = np.full((16, 32, 3), 255, np.uint8)
    upright[:8, :8] = 0
    undo = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
    undo |= {6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}
    image = Image.fromarray(upright)
    if orientation > 1:
        image = image.transpose(Image.Transpose[undo[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode(encoded(image, "PNG", exif=exif), None), upright)


def swapped() -> bytes:
    """A profile in which red is blue."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    named = profile.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    end = 132 + 12 * int.from_bytes(named[128:132], "big")  # of the table of tags
    tags = named[:end].replace(b"rXYZ", b"swap").replace(b"bXYZ", b"rXYZ").replace(b"swap", b"bXYZ")
    return tags + named[end:]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_are_those_of_the_profile(mode):
    image = flat("RGB", (250, 10, 10)).convert(mode)
    red = decode(encoded(image, "PNG"), None)[0, 0].astype(int)
    blue = decode(encoded(image, "PNG", icc_profile=swapped()), None)[0, 0].astype(int)
    assert red[0] > 200 > red[2]
    assert np.abs(blue - red[::-1]).max() <= 3


def test_a_profile_that_does_not_fit_is_told(tmp_path, caplog):
    flat("RGB", ORANGE).save(tmp_path / "a.png", icc_profile=b"none" * 50)
    flat("RGB", ORANGE).save(tmp_path / "b.png", icc_profile=encoded(flat("L", 0), "PNG"))
    assert load_images(tmp_path).images[:, :, 0, 0].tolist() == [[*ORANGE]] * 2
    assert "2 pictures have a colour profile that does not fit" in caplog.text


def claiming(kind: str, width: int, height: int) -> bytes:
    """A tiny file that claims to hold a large picture."""
    data = bytearray(
        encoded(flat("RGB", ORANGE), kind, **({"lossless": True} if kind == "WEBP" else {}))
    )
    sides = (width, height)
    if kind == "PNG":
        data[16:24] = b"".join(side.to_bytes(4, "big") for side in sides)
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    elif kind == "BMP":
        data[18:26] = b"".join(side.to_bytes(4, "little") for side in sides)
    elif kind == "GIF":
        data[6:10] = b"".join(side.to_bytes(2, "little") for side in sides)
    elif kind == "WEBP":
        data[21:25] = (width - 1 | height - 1 << 14).to_bytes(4, "little")
    elif kind == "PPM":
        return b"P6 %d %d 255 " % sides
    else:  # width and height are the first tags of a TIFF
        at = int.from_bytes(data[4:8], "little") + 2
        for i, side in enumerate(sides):
            data[at + 12 * i + 2 : at + 12 * i + 4] = (4).to_bytes(2, "little")
            data[at + 12 * i + 8 : at + 12 * i + 12] = side.to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "WEBP", "PPM", "TIFF"])
def test_size_is_known_before_anything_is_decoded(kind):
    with pytest.raises(ValueError, match=f"9000 x 9000 pixels, more than {MOST_PIXELS:,}"):
        opened(claiming(kind, 9000, 9000))


def test_only_formats_of_pictures_are_tried(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EOF\n")
    with pytest.raises(InvsetError, match=r"a\.png in .* can't be read as a picture"):
        load_images(tmp_path)


def test_what_is_no_picture_is_passed_over_and_told(tmp_path, caplog):
    folder = tmp_path / "sub.png"  # a folder
    folder.mkdir()
    for name in ("a.png", "b.JPG"):
        flat("RGB", ORANGE).save(folder / name)
    for name in ("._a.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (folder / name).write_bytes(b"\0\5\26\7")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "c.png").write_bytes(b"\0")
    (tmp_path / "notes.txt").write_text("x")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "lost.png").symlink_to("nowhere")
    data = load_images(tmp_path)
    assert (data.names, data.classes) == (["sub.png/a.png", "sub.png/b.JPG"], ["sub.png"])
    told = caplog.text
    assert "4 files without a picture (3 links, pipes or devices, 1 .txt)" in told
    assert "5 files of the operating system" in told


def test_a_pipe_or_device_is_no_archive(tmp_path):
    os.mkfifo(tmp_path / "a.zip")
    for path in (tmp_path / "a.zip", "/dev/zero"):
        with pytest.raises(InvsetError, match="neither a folder nor a zip or tar"):
            load_images(path)


@pytest.mark.parametrize("kind", ["huge", "lying", "bzip2", "locked"])
def test_members_of_a_zip_are_bounded(tmp_path, kind):
    path = tmp_path / "a.zip"
    packed = zipfile.ZIP_BZIP2 if kind == "bzip2" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", packed) as archive:
        archive.writestr("a.png", bytes(1 << 20))
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\1\2")
    size = {"huge": 1 << 31, "lying": 1000}.get(kind, 1 << 20)
    data[entry + 24 : entry + 28] = size.to_bytes(4, "little")
    if kind == "locked":
        data[entry + 8] |= 1
        data[6] |= 1
    path.write_bytes(data)
    message = {"huge": "2,147,483,648 bytes", "bzip2": "bzip2 or LZMA"}.get(
        kind, "can't be read as"
    )
    with pytest.raises(InvsetError, match=rf"a\.png in .*{message}"):
        load_images(path)


@pytest.mark.parametrize("size", [(1, 1 << 16), (1 << 16, 1)])
def test_strips_are_not_blown_up(tmp_path, size):
    Image.new("L", size).save(tmp_path / "a.png")
    with pytest.raises(InvsetError, match="crop it"):
        load_images(tmp_path, size=64)
