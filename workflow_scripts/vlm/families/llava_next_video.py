"""LLaVA-NeXT-Video: frames at the CLIP tower's resolution, pooled by the model; images also in tiles.

It has no temporal positions: time is the order of the frames.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad
from transformers import LlavaNextVideoForConditionalGeneration, PreTrainedModel, ProcessorMixin
from transformers.models.llava_next_video.modeling_llava_next_video import get_anyres_image_grid_shape, unpad_image

from workflow_scripts.settings import ModelSettings
from workflow_scripts.vlm.families.base import Family, Part, Prepared, grid_boxes
from workflow_scripts.vlm.families.llava_1_5 import check_pixels, clip_cells, clip_work
from workflow_scripts.vlm.flops import Work
from workflow_scripts.vlm.media import Clip, Images, Media

if TYPE_CHECKING:
    from workflow_scripts.vlm.load import VLM


class LlavaNextVideo(Family):
    """Adapter for ``LlavaNextVideoForConditionalGeneration``."""

    model_type: ClassVar[str] = "llava_next_video"
    model_class: ClassVar[type[PreTrainedModel]] = LlavaNextVideoForConditionalGeneration
    placeholders: ClassVar[tuple[str, ...]] = ("<image>", "<video>")
    part_names: ClassVar[Mapping[str, Part]] = {
        "vision_tower": "vision_tower",
        "multi_modal_projector": "projector",
        "vision_resampler": "projector",
        "image_newline": "projector",
        "language_model": "language_model",
        "lm_head": "language_model",
    }

    def configure(self, processor: ProcessorMixin, config: Any, settings: ModelSettings) -> None:
        """Keep the tilings of an image that fit ``max_pixels``, at least one tile; check the frame's resolution.

        Model and processor must know the same tilings, so they are set on both and saved with the weights.
        """
        edge = config.vision_config.image_size
        check_pixels(settings, "video_max_pixels", edge)
        fitting = [list(grid) for grid in config.image_grid_pinpoints if grid[0] * grid[1] <= settings.max_pixels]
        config.image_grid_pinpoints = fitting or [[edge, edge]]
        processor.image_processor.image_grid_pinpoints = config.image_grid_pinpoints  # type: ignore[attr-defined]
        processor.video_processor.do_sample_frames = False  # type: ignore[attr-defined]

    def content(self, media: Media) -> list[dict[str, str]]:
        """One entry a video, one an image."""
        return [{"type": "video"}] if isinstance(media, Clip) else [{"type": "image"} for _ in media]

    def prepare_images(self, vlm: "VLM", images: Images) -> Prepared:
        """``pixel_values [images, tiles, 3, H, W]`` and ``image_sizes [images, 2]``, the original height and width."""
        processor: Any = vlm.processor
        data = processor.image_processor(list(images), return_tensors="pt")
        counts = tuple(
            processor.replace_image_token(data, image_idx=index).count(processor.image_token)
            for index in range(len(images))
        )
        return Prepared({"pixel_values": data["pixel_values"], "image_sizes": data["image_sizes"]}, counts)

    def prepare_clip(self, vlm: "VLM", clip: Clip) -> Prepared:
        """``pixel_values_videos [1, T, 3, H, W]``."""
        processor: Any = vlm.processor
        frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2)
        data = processor.video_processor(videos=[frames], return_tensors="pt", do_sample_frames=False)
        stride = vlm.config.spatial_pool_stride
        cells = [edge // processor.patch_size // stride for edge in data["pixel_values_videos"].shape[-2:]]
        return Prepared({"pixel_values_videos": data["pixel_values_videos"]}, (len(clip) * cells[0] * cells[1],))

    def token_boxes(self, vlm: "VLM", image: Image.Image, inputs: Mapping[str, Tensor]) -> NDArray[np.float64]:
        """The whole image, then its tiles without what pads them; a row of patches of the tiles ends in a mark.

        As the model's ``pack_image_features`` orders them.
        """
        edge, patch = vlm.config.vision_config.image_size, vlm.config.vision_config.patch_size
        side = edge // patch
        size = (image.height, image.width)
        tiles = get_anyres_image_grid_shape(size, vlm.config.image_grid_pinpoints, edge)
        rows, columns = tiles[0] * side, tiles[1] * side
        kept = unpad_image(torch.arange(rows * columns).view(1, rows, columns), size)[0]
        # The image is scaled to touch two edges of the tiles' rectangle, and centred.
        scale = min(tiles[0] * edge / image.height, tiles[1] * edge / image.width)
        spare = [(tiles[1] * edge - image.width * scale) / 2, (tiles[0] * edge - image.height * scale) / 2]
        cells = grid_boxes(rows, columns, (0, tiles[1] * edge), (0, tiles[0] * edge))[kept.flatten().numpy()]
        cells = ((cells - np.array(spare * 2)) / scale).clip(0, [*image.size] * 2)
        marked = np.full((kept.shape[0], kept.shape[1] + 1, 4), np.nan)
        marked[:, :-1] = cells.reshape(*kept.shape, 4)
        whole = grid_boxes(side, side, (0, image.width), (0, image.height))
        return np.concatenate([whole, marked.reshape(-1, 4)])

    def work(self, config: Any, inputs: Mapping[str, Tensor]) -> Work:
        """A frame's features are pooled, then projected; those of an image's tiles are projected as they are."""
        tiles = inputs["pixel_values"].shape[:2].numel() if "pixel_values" in inputs else 0
        frames = inputs["pixel_values_videos"].shape[:2].numel() if "pixel_values_videos" in inputs else 0
        cells = clip_cells(config)
        projected = tiles * cells + frames * (int(cells**0.5) // config.spatial_pool_stride) ** 2
        return clip_work(config, inputs, tiles + frames, projected)

    def join(self, key: str, tensors: Sequence[Tensor]) -> Tensor:
        """Pad images to the same number of tiles; put the frames of all videos behind each other.

        The model treats frames one by one, so one row ``[1, frames of the batch, 3, H, W]`` serves videos of any
        lengths without padding.
        """
        if key == "pixel_values_videos":
            return torch.cat(list(tensors), dim=1)
        if key == "pixel_values":
            tiles = max(one.shape[1] for one in tensors)
            return torch.cat([pad(one, (0, 0) * 3 + (0, tiles - one.shape[1])) for one in tensors])
        return super().join(key, tensors)
