r"""Tests for the swae.images module: fault 7 and fault 8, one by one."""

import doctest
import io
import logging
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

import swae.images
from swae.images import (
    FORMATS,
    DataError,
    Framing,
    classes,
    decode,
    decode_opened,
    opened,
    read_folder,
    webp_size,
)

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def fill(folder, n, size=(8, 8)):
    """Writes n intact images, so that one bad file is at most 1 %."""
    for i in range(n):
        Image.new("L", size, i).save(folder / f"{i:03}.png")


def png(width, height, body=b"", depth=8, kind=0):
    """A PNG whose header announces what its body need not hold."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def truncated(path):
    Image.fromarray(RAMP).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:-40])


def truncated_jpeg(path):
    Image.effect_noise((64, 64), 50).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:900])


def corrupt(path):
    content = bytearray(png(8, 8, zlib.compress(bytes(72))))
    content[45:50] = b"\xff" * 5
    path.write_bytes(content)


def device(path):
    path.symlink_to("/dev/zero")


BAD = {
    "truncated PNG": truncated,
    "truncated JPEG": truncated_jpeg,
    "corrupt": corrupt,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("<html>404 Not Found</html>"),
    "PostScript": lambda path: path.write_text("%!PS-Adobe-3.0\n%%BoundingBox: 0 0 8 8\n"),
    "float": lambda path: Image.new("F", (8, 8)).save(path, "TIFF"),
    "bomb": lambda path: path.write_bytes(png(60_000, 60_000)),
    "small bomb": lambda path: path.write_bytes(png(10_000, 9_500)),
    "FIFO": os.mkfifo,
    "device": device,
    "link to itself": lambda path: path.symlink_to(path),
    "link to nothing": lambda path: path.symlink_to("nothing"),
}


@pytest.mark.parametrize("kind", BAD)
def test_unreadable_is_skipped_and_reported(kind, tmp_path, caplog):
    fill(tmp_path, 100)
    bad = tmp_path / "050a.png"
    BAD[kind](bad)
    with caplog.at_level(logging.WARNING, logger="swae"):
        pictures = read_folder(tmp_path)
    assert pictures.x[:, 0, 0, 0].tolist() == list(range(100))
    assert [path for path, _ in pictures.rejected] == [str(bad)]
    assert pictures.rejected[0][1]
    assert "1 of 101 images" in caplog.text


NO_FILES = ("FIFO", "device", "link to itself", "link to nothing")


@pytest.mark.parametrize("kind", NO_FILES)
def test_unreadable_is_refused_at_once(kind, tmp_path, cheap):
    BAD[kind](tmp_path / "x.png")
    with cheap(), pytest.raises((ValueError, OSError), match=r"regular|symbolic links|No such"):
        decode(tmp_path / "x.png")


# --- bombs: of every format, a small file that announces a large image


def patched(file_format, at, how, side, **options):
    """An image of 8 x 8 whose header is made to announce another size."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, file_format, **options)
    content = bytearray(file.getvalue())
    for place in at(content):
        struct.pack_into(how, content, place, side)
    return bytes(content)


def webp(side):
    content = bytearray(patched("WEBP", lambda _: [], "", side, lossless=True))
    at = content.index(b"VP8L") + 9
    (bits,) = struct.unpack_from("<I", content, at)
    struct.pack_into("<I", content, at, bits >> 28 << 28 | (side - 1) << 14 | side - 1)
    return bytes(content)


def tag(content, number):
    """Where a TIFF has the value of a tag."""
    return content.index(struct.pack("<HHI", number, 4, 1)) + 8


BOMBS = {
    "PNG": lambda side: png(side, side, zlib.compress(bytes(1000))),
    "JPEG": lambda side: patched(
        "JPEG", lambda c: [c.index(b"\xff\xc0") + k for k in (5, 7)], ">H", min(side, 65_500)
    ),
    "BMP": lambda side: patched("BMP", lambda c: (18, 22), "<i", side),
    "GIF": lambda side: patched("GIF", lambda c: (6, 8), "<H", min(side, 65_500)),
    "WEBP": lambda side: webp(min(side, 16_383)),
    "TIFF": lambda side: patched(
        "TIFF", lambda c: [tag(c, number) for number in (256, 257, 278)], "<I", side
    ),
    "PPM": lambda side: f"P6\n{side} {side}\n255\n".encode() + bytes(192),
}


def test_there_is_a_bomb_of_every_format():
    assert BOMBS.keys() == set(FORMATS)
    for name, content in BOMBS.items():
        with Image.open(io.BytesIO(content(9_000))) as image:
            assert (image.format, image.size) == (name, (9_000, 9_000))


@pytest.mark.parametrize("side", [9_000, 9_999, 70_000])
@pytest.mark.parametrize("kind", BOMBS)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_of_any_format_takes_no_memory(tmp_path, cheap, kind, side):
    """Also one whose pixels alone would not be too many."""
    (tmp_path / "x.png").write_bytes(BOMBS[kind](side))
    Image.init()
    with cheap(), pytest.raises((ValueError, Image.DecompressionBombError), match=r"bomb|exceed"):
        decode(tmp_path / "x.png")
    with cheap(), pytest.raises((ValueError, Image.DecompressionBombError), match=r"bomb|exceed"):
        decode_opened(io.BytesIO(BOMBS[kind](side)))


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"xmp": b"<x/>"}])
def test_the_size_of_a_webp_is_read_before_it_is_opened(tmp_path, monkeypatch, options):
    image = Image.effect_noise((300, 20), 50).convert("RGB")
    image.save(tmp_path / "x.webp", **options)
    assert webp_size((tmp_path / "x.webp").read_bytes()[:30]) == (300, 20)
    assert decode(tmp_path / "x.webp").shape == (3, 20, 300)
    (tmp_path / "y.webp").write_bytes(BOMBS["WEBP"](9_000))
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(ValueError, match="bomb"):
        decode(tmp_path / "y.webp")


def test_sixteen_bits_are_twice_as_many(tmp_path, cheap):
    Image.fromarray(np.zeros((6000, 6000), np.uint16)).save(tmp_path / "x.png")
    with cheap(), pytest.raises(ValueError, match=r"6000 x 6000 pixels in .* bytes are a bomb"):
        decode(tmp_path / "x.png")


def test_a_large_file_is_no_bomb(tmp_path):
    """A photograph has some tenths of a byte a pixel."""
    path = tmp_path / "x.png"
    path.write_bytes(png(9_000, 9_000))
    os.truncate(path, 8_100_000)
    with opened(path) as image:
        assert image.size == (9_000, 9_000)
    os.truncate(path, 800_000)
    with pytest.raises(ValueError, match=r"pixels in a file of 800,000 bytes"), opened(path):
        pass


def test_a_blank_page_is_no_bomb(tmp_path):
    """A4 with 600 points an inch."""
    Image.new("1", (4_960, 7_016), 1).save(tmp_path / "x.png", "TIFF", compression="group4")
    assert (tmp_path / "x.png").stat().st_size < 10_000
    x = decode(tmp_path / "x.png", Framing(image_size=8))
    assert (x == 255).all()


def upright(path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn by 270 degrees
    Image.fromarray(np.rot90(RAMP)).save(path, "PNG", exif=exif)


def animated(path, file_format="PNG", **options):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(path, file_format, save_all=True, append_images=frames[1:], **options)


def palette(path, **options):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(path, "PNG", **options)


def sixteen(path, file_format):
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(path, file_format)


def sixteen_of(path, kind, channels):
    """A PNG of several channels of 16 bits, the last of them all 1 where it is alpha."""
    pixels = np.repeat(RAMP[:, :, None].astype(">u2") * 257, channels, axis=2)
    if channels in (2, 4):
        pixels[..., -1] = 65535
    lines = b"".join(b"\0" + line.tobytes() for line in pixels.astype(">u2"))
    path.write_bytes(png(8, 8, zlib.compress(lines), 16, kind))


def big_endian(path):
    Image.frombytes("I;16B", (8, 8), (RAMP.astype(">u2") * 257).astype(">u2").tobytes()).save(
        path, "TIFF"
    )


GRAY, RED, WHITE = RAMP[None], (255, 0, 0), (255, 255, 255)
GOOD = {
    "gray": (lambda path: Image.fromarray(RAMP).save(path, "PNG"), GRAY),
    "16-bit PNG": (lambda path: sixteen(path, "PNG"), GRAY),
    "16-bit TIFF": (lambda path: sixteen(path, "TIFF"), GRAY),
    "16-bit PGM": (lambda path: sixteen(path, "PPM"), GRAY),
    "16-bit TIFF, big-endian": (big_endian, GRAY),
    "16-bit RGB": (lambda path: sixteen_of(path, 2, 3), np.repeat(GRAY, 3, 0)),
    "16-bit RGBA": (lambda path: sixteen_of(path, 6, 4), np.repeat(GRAY, 3, 0)),
    # Which Pillow takes for color.
    "16-bit gray and alpha": (lambda path: sixteen_of(path, 4, 2), np.repeat(GRAY, 3, 0)),
    "1 bit": (lambda path: Image.new("1", (8, 8), 1).save(path, "PNG"), (255,)),
    "wrongly named": (lambda path: Image.new("RGB", (8, 8), RED).save(path, "BMP"), RED),
    "CMYK": (lambda path: Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(path, "TIFF"), RED),
    "CMYK JPEG": (  # whose numbers are upside down
        lambda path: Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(path, "JPEG"),
        (0, 0, 0),
    ),
    "palette": (palette, RED),
    "palette, transparent": (lambda path: palette(path, transparency=1), WHITE),
    "palette, alpha": (lambda path: palette(path, transparency=b"\x00\x00"), WHITE),
    "RGBA": (lambda path: Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(path, "PNG"), WHITE),
    "RGBA, opaque": (lambda path: Image.new("RGBA", (8, 8), (*RED, 255)).save(path, "PNG"), RED),
    "gray and alpha": (lambda path: Image.new("LA", (8, 8), (0, 0)).save(path, "PNG"), (255,)),
    "animated": (animated, RED),
    "animated WebP": (lambda path: animated(path, "WEBP", lossless=True), RED),
    "animated GIF": (
        lambda path: Image.new("RGB", (8, 8), RED).save(
            path, "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8), WHITE)]
        ),
        RED,
    ),
    "EXIF": (upright, GRAY),
}


@pytest.mark.parametrize("kind", GOOD)
def test_every_kind_becomes_eight_bits(kind, tmp_path):
    write, expected = GOOD[kind]
    write(tmp_path / "x.png")
    pictures = read_folder(tmp_path)
    expected = np.asarray(expected, dtype=np.uint8)
    if expected.ndim == 1:
        expected = np.broadcast_to(expected[:, None, None], (len(expected), 8, 8))
    assert pictures.x.dtype == torch.uint8
    np.testing.assert_array_equal(pictures.x[0].numpy(), expected)
    assert pictures.rejected == ()


TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: np.rot90,
    7: lambda a: np.rot90(a, 2).T,
    8: lambda a: np.rot90(a, 3),
}
"""How what is upright lies in a file of each of EXIF's orientations."""


@pytest.mark.parametrize("orientation", TURNS)
def test_every_orientation_is_turned(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = np.ascontiguousarray(TURNS[orientation](RAMP[:6]))
    Image.fromarray(lying).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(decode(tmp_path / "x.png"), GRAY[:, :6])


def test_sixteen_bits_on_their_side(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = np.rot90(RAMP).astype(np.uint16) * 257
    Image.fromarray(np.ascontiguousarray(wide)).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(read_folder(tmp_path).x[0], GRAY)


def test_one_color_image_makes_all_rgb(tmp_path):
    fill(tmp_path, 2)
    Image.new("RGB", (8, 8), RED).save(tmp_path / "z.png")
    x = read_folder(tmp_path).x
    assert x.shape == (3, 3, 8, 8)
    assert x[1, :, 0, 0].tolist() == [1, 1, 1]
    assert x[2, :, 0, 0].tolist() == list(RED)


@pytest.mark.parametrize(("good", "refused"), [(99, False), (98, True)])
def test_one_in_a_hundred_may_be_rejected(tmp_path, good, refused):
    fill(tmp_path, good)
    (tmp_path / "x.png").write_text("no image")
    if refused:
        with pytest.raises(DataError, match=r"1 of 99 images .* at most 1% may be"):
            read_folder(tmp_path)
    else:
        assert len(read_folder(tmp_path).rejected) == 1


def test_too_many_rejected(tmp_path):
    fill(tmp_path, 20)
    for name in "abcd":
        (tmp_path / f"{name}.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"4 of 24 images .*a\.jpg: not an image.*\.\.\.\).*1%"):
        read_folder(tmp_path)


def test_sizes_differ_unless_resized(tmp_path):
    fill(tmp_path, 1)
    Image.new("L", (6, 4)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"8 x 8 .*6 x 4 .*b\.png.*--image-size"):
        read_folder(tmp_path)
    assert read_folder(tmp_path, Framing(image_size=5)).x.shape == (2, 1, 5, 5)
    with pytest.raises(ValueError, match="image_size must be at least 1, got 0"):
        read_folder(tmp_path, Framing(image_size=0))


def test_resizing_does_not_alias(tmp_path):
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    Image.fromarray(stripes).save(tmp_path / "x.png")
    inside = read_folder(tmp_path, Framing(image_size=8)).x[..., 1:-1].float()
    assert (inside - 127.5).abs().max() < 2


def test_walk_is_sorted_and_stays_inside(tmp_path):
    for name in ("b/x.png", "a/sub.png/y.PNG", ".hidden/z.png", "a/._y.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / name)
    (tmp_path / "a/loop").symlink_to(tmp_path)
    (tmp_path / "notes.txt").write_text("not an image, and not called one")
    pictures = read_folder(tmp_path)
    assert list(pictures.files) == ["a/sub.png/y.PNG", "b/x.png"]
    labels, names = classes(pictures.files)
    assert (labels.tolist(), names) == ([0, 1], ("a", "b"))


def test_classes_need_two_folders_and_nothing_beside_them():
    assert classes(["a/1.png", "a/2.png"]) == (None, ())
    assert classes(["a/1.png", "b/2.png", "3.png"]) == (None, ())
    labels, names = classes(["b/1.png", "a/c/2.png"])
    assert (labels.tolist(), names) == ([1, 0], ("a", "b"))
    assert classes(["\udcff/1.png", "a/2.png"])[1] == ("a", r"\udcff")


def test_a_name_that_is_not_utf8(tmp_path):
    fill(tmp_path, 100)
    bad = os.path.join(os.fsencode(tmp_path), b"\xff.png")
    with open(bad, "wb"):
        pass
    ((path, _),) = read_folder(tmp_path).rejected
    path.encode("utf-8")


def test_no_image(tmp_path):
    with pytest.raises(DataError, match=r"There is no image in .*\.jpeg"):
        read_folder(tmp_path)


def test_examples():
    assert doctest.testmod(swae.images).failed == 0
