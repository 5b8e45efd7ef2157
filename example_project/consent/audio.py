"""Makes recordings small: CD quality in, telephone quality out."""

from __future__ import annotations

import io
import sys
import wave
from array import array
from typing import IO

DECIMATION = 4


class Unreadable(Exception):
    """The file is not a recording this site can convert."""


def shrink(source: IO[bytes]) -> bytes:
    """A mono WAV at a quarter of the sample rate, made from a 16-bit stereo WAV.

    Raises:
        Unreadable: the source is no 16-bit stereo WAV, or ends before it should.
    """
    try:
        with wave.open(source, "rb") as sound:
            rate, count = sound.getframerate(), sound.getnframes()
            if (sound.getnchannels(), sound.getsampwidth()) != (2, 2):
                raise Unreadable("It is not a 16-bit stereo recording.")
            samples = array("h", sound.readframes(count))
    except (wave.Error, EOFError, ValueError) as failure:
        raise Unreadable(f"It is not a WAV file: {failure}") from failure
    if len(samples) < 2 * count:
        raise Unreadable(f"It ends after {len(samples) // 2} of {count} frames.")
    return wav(mix_down(samples), rate=rate // DECIMATION, channels=1)


def mix_down(stereo: array[int]) -> array[int]:
    """Every fourth frame, left and right in equal parts. WAV is little-endian whatever the machine."""
    if sys.byteorder == "big":
        stereo.byteswap()
    left, right = stereo[:: 2 * DECIMATION], stereo[1 :: 2 * DECIMATION]
    mono = array("h", ((a + b) // 2 for a, b in zip(left, right, strict=True)))
    if sys.byteorder == "big":
        mono.byteswap()
    return mono


def wav(samples: array[int], *, rate: int, channels: int) -> bytes:
    """A WAV file of 16-bit samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(samples.tobytes())
    return file.getvalue()
