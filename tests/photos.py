"""Photo files for tests, the awkward kinds included: each function returns the bytes of one file."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

# The colour types of a PNG.
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def picture(height, width, seed=0):
    """Return a smooth picture with no symmetry, uint8 `(height, width, 3)`: smooth, so that JPEG keeps its values."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, 3)
    waves = [np.sin(3 * x + 5 * y * y + phase[0]), np.sin(6 * x * y + 2 * x + phase[1]), np.cos(4 * y - x + phase[2])]
    return np.uint8(np.round(127.5 + 110 * np.stack(waves, axis=-1)))


def shrunk(photo, ratio):
    """Average squares of `ratio` pixels, float64; those that reach over the edge as if that went on."""
    height, width = photo.shape[:2]
    photo = np.pad(np.float64(photo), [(0, -height % ratio), (0, -width % ratio), (0, 0)], "edge")
    return photo.reshape(photo.shape[0] // ratio, ratio, photo.shape[1] // ratio, ratio, 3).mean(axis=(1, 3))


def jpeg(pixels, mode="RGB", orientation=None, big_endian=False, before_exif=(), **options):
    """Return a JPEG of an RGB picture, written by Pillow.

    Args:
        pixels: uint8 `(H, W, 3)`, as stored.
        mode: Pillow's name of the colour mode to store: `RGB`, `L`, `CMYK`.
        orientation: the EXIF orientation to write, None for a file without EXIF.
        big_endian: the byte order of the EXIF block.
        before_exif: segments, see `jpeg_segment`, to put right after the start of the file.
        options: for Pillow's writer: `quality`, `progressive`, …
    """
    if orientation is not None:
        exif = Image.Exif()
        exif.endian = ">" if big_endian else "<"
        exif[0x010F] = "A maker before the orientation"
        exif[0x0112] = orientation
        exif[0x0131] = "A program after it"
        options["exif"] = exif
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", **{"quality": 95, **options})
    return insert_segments(file.getvalue(), *before_exif)


def jpeg_of_scans(pixels, num):
    """Return a progressive JPEG with so many scans: its last one is repeated."""
    file = jpeg(pixels, progressive=True)
    start = file.rindex(b"\xff\xda")
    return file[:-2] + file[start:-2] * (num - file.count(b"\xff\xda")) + file[-2:]


def jpeg_of_one_component(pixels):
    """Return a JPEG whose scan claims to have one of its three colour components."""
    file = jpeg(pixels)
    at = file.index(b"\xff\xda") + 4
    assert file[at] == 3
    return file[:at] + b"\1" + file[at + 1 :]


def jpeg_ycck(pixels):
    """Return a JPEG of an RGB picture in the four channels of Adobe's YCCK: YCbCr of the inks' inverse, and black."""
    black = pixels.max(axis=-1)
    rgb = np.uint8(np.round(pixels * 255.0 / np.maximum(black, 1)[..., np.newaxis]))
    # Adobe stores inks inverted, C' = R. A decoder finds C' = 255 - R of the stored YCbCr, so that is of 255 - R.
    planes = np.asarray(Image.fromarray(255 - rgb).convert("YCbCr"))
    # Pillow's writer inverts what it is given, and marks the file as plain CMYK: 0, to be 2, in the Adobe segment.
    stored = Image.fromarray(255 - np.concatenate([planes, black[..., np.newaxis]], axis=-1), "CMYK")
    file = io.BytesIO()
    stored.save(file, "JPEG", quality=95)
    data = bytearray(file.getvalue())
    at = data.index(b"Adobe") + 11
    assert data[at] == 0, "not where the colour transform of the Adobe segment is expected"
    data[at] = 2
    return bytes(data)


def jpeg_segment(marker, content):
    """Return one segment of a JPEG, to be inserted by `insert_segments`."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def xmp_segment(properties):
    """Return an XMP segment with some text, as bytes, where a photo's properties stand."""
    return jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>" + properties + b"</x:xmpmeta>")


def insert_segments(jpeg_bytes, *segments):
    """Return a JPEG with segments right after its start."""
    return jpeg_bytes[:2] + b"".join(segments) + jpeg_bytes[2:]


def exif_segment(entries, big_endian=False, directory=8, num_entries=None):
    """Return an EXIF segment with a directory of our making, however wrong.

    Args:
        entries: tuples of tag, type, count and the 4 bytes of the value.
        big_endian: the byte order.
        directory: where the header says that the directory is; it stands at 8.
        num_entries: how many entries the directory says it has, None for the truth.
    """
    return jpeg_segment(0xE1, b"Exif\0\0" + exif(entries, big_endian, directory, num_entries))


def exif(entries, big_endian=False, directory=8, num_entries=None):
    """Return an EXIF block, as it stands in a segment behind its name; see `exif_segment`."""
    order = ">" if big_endian else "<"
    num_entries = len(entries) if num_entries is None else num_entries
    tiff = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(order + "IH", directory, num_entries)
    return tiff + b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries) + bytes(4)


def exif_of(orientation, long=False, big_endian=False):
    """Return an EXIF block that holds an orientation alone, as SHORT or as LONG."""
    number = orientation.to_bytes(4 if long else 2, "big" if big_endian else "little")
    return exif([(0x0112, 4 if long else 3, 1, number.ljust(4, b"\0"))], big_endian)


def png(pixels, **options):
    """Return a PNG, written by Pillow, of uint8 `(H, W)`, `(H, W, 3)` or `(H, W, 4)`."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def samples_of(bit_depth, channels):
    """Return random samples of a small picture, integers `(9, 13, channels)`."""
    return np.random.default_rng(bit_depth).integers(0, 2**bit_depth, (9, 13, channels))


def png_of_samples(samples, colour_type, bit_depth, palette=None, transparency=None):
    """Return a PNG of any kind, 16 bits included, which Pillow does not write.

    Args:
        samples: integers `(H, W, channels)`, below 2 ** bit_depth.
        colour_type: one of the colour types at the top of this file.
        bit_depth: 1, 2, 4, 8 or 16.
        palette: uint8 `(num_colours, 3)`.
        transparency: bytes of the tRNS chunk: an alpha for each palette entry, or the samples that mean transparent.
    """
    height, width, _ = samples.shape
    rows = np.asarray(samples, ">u2").reshape(height, -1, 1).view(np.uint8)
    rows = np.unpackbits(rows, axis=-1)[..., 16 - bit_depth :]
    rows = np.packbits(rows.reshape(height, -1), axis=-1)
    chunks = [png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0))]
    if palette is not None:
        chunks.append(png_chunk(b"PLTE", np.uint8(palette).tobytes()))
    if transparency is not None:
        chunks.append(png_chunk(b"tRNS", transparency))
    chunks.append(png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + png_chunk(b"IEND", b"")


def png_with_size(height, width):
    """Return a small PNG whose header claims that size, with a right checksum."""
    data = png(picture(8, 8))
    header = struct.pack(">II", width, height) + data[24:29]
    return data[:8] + png_chunk(b"IHDR", header) + data[33:]


def png_chunk(name, content, checksum_error=0):
    """Return one chunk of a PNG, to be inserted by `insert_chunks`; with a wrong checksum, unless the error is 0."""
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content) ^ checksum_error)
    )


def insert_chunks(png_bytes, *chunks, at_end=False):
    """Return a PNG with chunks right before its picture data, or right before its end."""
    at = len(png_bytes) - 12 if at_end else png_bytes.index(b"IDAT") - 4
    return png_bytes[:at] + b"".join(chunks) + png_bytes[at:]


def png_text(num_bytes=1_400_000):
    """Return a chunk with so many bytes of compressed text; it is larger than Pillow takes when inflated."""
    text = np.random.default_rng(0).bytes(num_bytes).hex().encode()
    return png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(text, 1))


def png_bomb(side=20_000):
    """Return a whole, valid PNG of `side` x `side` pixels in a few dozen kilobytes."""
    compressor = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    data = b"".join(compressor.compress(row) for _ in range(side)) + compressor.flush()
    header = struct.pack(">IIBBBBB", side, side // 8 * 8, 1, GREY, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def jpeg_with_size(height, width):
    """Return a small JPEG whose header claims that size."""
    data = jpeg(picture(8, 8))
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def webp(pixels, frames=(), **options):
    """Return a lossless WebP of a picture `(H, W, 3)`, or with alpha `(H, W, 4)`; an animation if there are frames."""
    file = io.BytesIO()
    first, *others = (Image.fromarray(picture) for picture in (pixels, *frames))
    more = {"save_all": True, "append_images": others} if others else {}
    # `exact` keeps the colours under transparent pixels.
    first.save(file, "WEBP", lossless=True, exact=True, **more, **options)
    return file.getvalue()


def other_format(name):
    """Return a sound file of a format that is not served, by Pillow's name: `GIF`, `BMP`, `WEBP`, `TIFF`."""
    file = io.BytesIO()
    Image.fromarray(picture(12, 16)).save(file, name)
    return file.getvalue()


def awkward():
    """Return photos that decoders disagree about: name to file, height and width as displayed, or None if refused."""
    pixels = picture(40, 56)
    stored, turned = (40, 56), (56, 40)
    plain_jpeg, plain_png = jpeg(pixels), png(pixels)
    xmp = xmp_segment(b'tiff:Orientation="6"')
    exif_chunk = png_chunk(b"eXIf", exif_of(6))
    wrong_chunk = png_chunk(b"eXIf", exif_of(6), checksum_error=1)
    wrong_text = png_chunk(b"tEXt", b"Comment\0words", checksum_error=1)
    wrong_data = bytearray(plain_png)
    wrong_data[-13] ^= 1
    grey = np.arange(40 * 56).reshape(40, 56, 1) % 256
    return {
        "CMYK JPEG": (jpeg(pixels, "CMYK", orientation=6), turned),
        "YCCK JPEG": (jpeg_ycck(pixels), stored),
        "grey JPEG": (jpeg(pixels, "L"), stored),
        "EXIF as LONG": (insert_segments(plain_jpeg, jpeg_segment(0xE1, b"Exif\0\0" + exif_of(6, long=True))), turned),
        "XMP alone": (insert_segments(plain_jpeg, xmp), turned),
        "EXIF against XMP": (insert_segments(jpeg(pixels, orientation=1), xmp), stored),
        "eXIf": (insert_chunks(plain_png, exif_chunk), turned),
        "eXIf at the end": (insert_chunks(plain_png, exif_chunk, at_end=True), turned),
        "eXIf with a wrong checksum": (insert_chunks(plain_png, wrong_chunk), stored),
        "text with a wrong checksum": (insert_chunks(plain_png, wrong_text), stored),
        "much text": (insert_chunks(plain_png, png_text()), stored),
        "much text at the end": (insert_chunks(plain_png, png_text(), at_end=True), stored),
        "grey of 16 bits, one transparent": (png_of_samples(grey, GREY, 16, transparency=b"\0\1"), stored),
        "picture data with a wrong checksum": (bytes(wrong_data), None),
        "JPEG without its end": (plain_jpeg[:-2], None),
        "PNG without its end": (plain_png[:-12], None),
        "GIF": (other_format("GIF"), None),
    }
