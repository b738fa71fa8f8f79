"""One vector a frame, by a DINOv2 model."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import interpolate, normalize
from transformers import AutoImageProcessor, Dinov2Model

from workflow_scripts.settings import DinoSettings, InputError


class FrameEmbedder:
    """Frames to vectors of unit length, in float32: the class token after the last layer norm.

    A frame is resized to a square of `resolution` pixels (bicubic, antialiased) and not cropped, so that everything
    in it counts; mean and standard deviation are those of the model's image processor.
    """

    def __init__(self, settings: DinoSettings, *, device: str, batch_size: int = 256) -> None:
        source = settings.source
        try:
            processor = AutoImageProcessor.from_pretrained(source, revision=settings.revision)
            model = Dinov2Model.from_pretrained(
                source, revision=settings.revision, dtype=torch.float32, use_safetensors=True
            )
        except (OSError, ValueError) as error:
            raise InputError(
                f"key source: {source} cannot be loaded ({str(error).splitlines()[0]}); expected a DINOv2 model "
                "as a hub id or a local folder"
            ) from error
        # cuDNN would otherwise take the patch convolution in TF32
        torch.backends.cudnn.allow_tf32 = False
        self.model = model.to(device).eval()
        self.device = device
        self.resolution = settings.resolution
        self.batch_size = batch_size
        self.mean = torch.tensor(processor.image_mean, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(processor.image_std, device=device).view(1, 3, 1, 1)

    def __call__(self, clips: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Vectors [T, E] float32 for each clip's frames uint8 [T, H, W, 3]; one batch holds frames of several clips."""
        pixels = torch.cat([self._pixels(frames) for frames in clips])
        with torch.inference_mode():
            vectors = torch.cat(
                [
                    self.model(pixel_values=((batch - self.mean) / self.std)).pooler_output
                    for batch in pixels.split(self.batch_size)
                ]
            )
        rows = normalize(vectors, dim=-1).cpu().numpy()
        return np.split(rows, np.cumsum([len(frames) for frames in clips])[:-1])

    def _pixels(self, frames: np.ndarray) -> torch.Tensor:
        """uint8 [T, H, W, 3] to float32 [T, 3, R, R] in 0..1."""
        images = torch.from_numpy(frames).to(self.device).permute(0, 3, 1, 2).float() / 255
        if images.shape[-2:] != (self.resolution, self.resolution):
            size = (self.resolution, self.resolution)
            images = interpolate(images, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        return images
