"""What a model looks at: one sampled video clip, or one or more still images."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from workflow_scripts.settings import InputError


@dataclass(frozen=True)
class Clip:
    """Frames that were already sampled from one video; nothing downstream samples again.

    Attributes:
        frames: uint8 ``[T, H, W, 3]``, RGB.
        timestamps_s: float64 ``[T]``, seconds from the start of the video, strictly increasing.
        duration_s: length of the whole video in seconds.

    Raises:
        InputError: a shape, a type or the order of the timestamps is not as described.
    """

    frames: np.ndarray
    timestamps_s: np.ndarray
    duration_s: float

    def __post_init__(self) -> None:
        """Check shapes, types and order, which cost nothing beside decoding."""
        if self.frames.ndim != 4 or self.frames.shape[-1] != 3 or self.frames.dtype != np.uint8 or not len(self.frames):
            raise InputError(
                f"clip: frames are {self.frames.dtype} {self.frames.shape}; expected uint8 [T, H, W, 3] with T > 0"
            )
        if self.timestamps_s.shape != (len(self.frames),):
            raise InputError(
                f"clip: timestamps_s has shape {self.timestamps_s.shape}; expected one for each of {len(self)} frames"
            )
        if len(self) > 1 and not bool((np.diff(self.timestamps_s) > 0).all()):
            raise InputError("clip: timestamps_s is not strictly increasing; expected one moment a frame, in order")

    def __len__(self) -> int:
        """Count the frames, T."""
        return len(self.frames)

    @property
    def sampled_fps(self) -> float:
        """Frames a second as sampled, from the real timestamps; a single frame counts as spanning the video."""
        if len(self) == 1:
            return 1.0 / self.duration_s if self.duration_s > 0 else 1.0
        return (len(self) - 1) / float(self.timestamps_s[-1] - self.timestamps_s[0])


Images = tuple[Image.Image, ...]
Media = Clip | Images
