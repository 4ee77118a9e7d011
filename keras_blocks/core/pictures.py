"""Images in files: which formats are read, how large they may be, and what is no image. Pillow reads them."""

import dataclasses
import functools
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from keras_blocks.core.extras import require

if TYPE_CHECKING:
    from PIL import Image

NOT_READ = ("BUFR", "EPS", "FITS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF")
"""Formats that Pillow knows by name alone, leaves to other programs, or that hold no 8 bits."""

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes of 8 bits a channel or fewer. Converting wider ones would clip them."""

GREY = ("1", "L")

UNREADABLE = (OSError, ValueError, SyntaxError, EOFError)
"""What Pillow raises for a damaged file."""

ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)
"""The EXIF tag of how a camera was held, and its values for a picture that lies on its side."""


@functools.cache
def formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are read, in the order in which they are tried."""
    require("PIL", "detection")
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.ID if name not in NOT_READ)


@functools.cache
def suffixes() -> frozenset[str]:
    """Endings, in small letters, of the files that are read as images."""
    read = formats()
    from PIL import Image

    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in read)


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file says of its image.

    Args:
        size: (width, height) of the pixels as they are stored.
        mode: Pillow's name of what a pixel is.
        frames: whether more images follow, which are not read.
    """

    size: tuple[int, int]
    mode: str
    frames: bool


def header_of(name: str, file: Path) -> Header:
    """What a file says of its image, before any pixel is read.

    Args:
        name: of the argument, for the error.
        file: its path.

    Raises:
        ValueError: for what is no image, and for one that is too large.
    """
    allowed = formats()
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            if not stat.S_ISREG(file.stat().st_mode):  # a pipe would be waited for
                raise ValueError("no regular file")
            with Image.open(file, formats=allowed) as image:
                _check_mode(image.mode)
                frames = getattr(image, "is_animated", False) and image.format != "MPO"
                return Header(image.size, image.mode, frames)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError(
                f"`{name}`: {file} must have {Image.MAX_IMAGE_PIXELS:,} pixels at most (PIL.Image.MAX_IMAGE_PIXELS): "
                f"make it smaller, or leave it out. {error}"
            ) from error
        except UNREADABLE as error:
            raise _unreadable(name, file, error) from error


def lies_on_its_side(name: str, file: Path) -> bool:
    """Whether a picture is upright with width and height swapped. Of some formats this reads the pixels.

    Raises:
        ValueError: for a file that cannot be read.
    """
    allowed = formats()
    from PIL import Image

    try:
        with Image.open(file, formats=allowed) as image:
            return image.getexif().get(ORIENTATION) in TURNED
    except UNREADABLE as error:
        raise _unreadable(name, file, error) from error


def read_picture(name: str, file: Path, *, upright: bool = True) -> "Image.Image":
    """One image of 8 bits, grey ("L") or in colour ("RGB").

    Args:
        name: of the argument, for the error.
        file: its path.
        upright: whether it is turned as its EXIF tag says; else the pixels are as they are stored.

    Raises:
        ValueError: for a file that cannot be read.
    """
    allowed = formats()
    from PIL import Image, ImageOps

    try:
        with Image.open(file, formats=allowed) as image:
            picture: Image.Image = ImageOps.exif_transpose(image) if upright else image
            _check_mode(picture.mode)
            return picture.convert("L" if picture.mode in GREY else "RGB")
    except UNREADABLE as error:
        raise _unreadable(name, file, error) from error


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        raise ValueError(f"its pixels, of the mode {mode!r}, are not of 8 bits")


def _unreadable(name: str, file: Path, error: Exception) -> ValueError:
    return ValueError(f"`{name}`: {file} is not an image that can be read: {error}")
