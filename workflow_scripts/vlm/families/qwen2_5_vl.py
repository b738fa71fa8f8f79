"""Qwen2.5-VL: dynamic resolution, frames merged in pairs, temporal positions in seconds.

A frame pair k of a video gets the temporal position ``floor(k * second_per_grid * tokens_per_second)``, with
``second_per_grid = temporal_patch_size / fps`` and fps the rate at which this sample was really sampled.
"""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLModel
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision, eager_attention_forward

from workflow_scripts.settings import ModelSettings
from workflow_scripts.settings.context import share
from workflow_scripts.settings.recipes import TemporalPositions
from workflow_scripts.vlm.families.base import Family, Part, Prepared, grid_boxes
from workflow_scripts.vlm.families.vision_attention import batch_vision_attention
from workflow_scripts.vlm.flops import Work, text_work
from workflow_scripts.vlm.media import Clip, Images, Media

if TYPE_CHECKING:
    from workflow_scripts.vlm.load import VLM

DEFAULT_SAMPLED_FPS = 24.0
"""The rate that transformers' processor assumes for a video that comes without one (``VideoMetadata.sampled_fps``)."""


def second_per_grid(clip: Clip, temporal_patch_size: int, temporal_positions: TemporalPositions) -> float:
    """Seconds between two neighbouring temporal grid cells, as the model is told.

    Args:
        clip: the sampled clip.
        temporal_patch_size: frames in one grid cell.
        temporal_positions: ``real_time`` from the timestamps; ``integer_rate`` the same with its fraction dropped, as
            transformers up to 5.17 did; ``constant`` what the processor assumes when nobody passes a rate.
    """
    if temporal_positions == "constant":
        return temporal_patch_size / DEFAULT_SAMPLED_FPS
    # The model drops fractions next; without the allowance 1.5 * 2 could become 2.
    seconds = temporal_patch_size / clip.sampled_fps * (1 + 1e-9)
    return float(int(seconds)) if temporal_positions == "integer_rate" else seconds


def frame_size(vlm: "VLM", frames: int) -> dict[str, int]:
    """Smallest and largest frame of a clip, in pixels.

    They are the same for any number of frames, as ``configure`` stored them, unless the frames share ``total_pixels``.
    Upstream does both: ``size`` bounds each frame in transformers' ``qwen2_vl/video_processing_qwen2_vl.py`` and all
    frames together in ``qwen3_vl/video_processing_qwen3_vl.py`` (``smart_resize``); ``cap_pixels_per_frame`` of the
    first bounds the share of each, as qwen-vl-utils does.
    """
    processor = vlm.processor.video_processor  # type: ignore[attr-defined]
    smallest, largest = int(processor.size["shortest_edge"]), int(processor.size["longest_edge"])
    if vlm.total_pixels is not None:
        largest = min(largest, share(vlm.total_pixels, frames, processor.temporal_patch_size))
    return {"shortest_edge": min(smallest, largest), "longest_edge": largest}


class Qwen25VL(Family):
    """Adapter for ``Qwen2_5_VLForConditionalGeneration``."""

    model_type: ClassVar[str] = "qwen2_5_vl"
    model_class: ClassVar[type[PreTrainedModel]] = Qwen2_5_VLForConditionalGeneration
    placeholders: ClassVar[tuple[str, ...]] = ("<|image_pad|>", "<|video_pad|>")
    part_names: ClassVar[Mapping[str, Part]] = {
        "visual.merger": "projector",
        "visual": "vision_tower",
        "language_model": "language_model",
        "lm_head": "language_model",
    }

    def configure(self, processor: ProcessorMixin, config: Any, settings: ModelSettings) -> None:
        """Set pixels an image and pixels a frame; the video processor's cap over all frames stays off."""
        images, videos = processor.image_processor, processor.video_processor  # type: ignore[attr-defined]
        lowest = settings.min_pixels or images.size["shortest_edge"]
        images.size = {"shortest_edge": min(lowest, settings.max_pixels), "longest_edge": settings.max_pixels}
        videos.size = {
            "shortest_edge": min(lowest, settings.video_max_pixels),
            "longest_edge": settings.video_max_pixels,
        }
        videos.do_sample_frames = False
        videos.cap_pixels_per_frame = False

    def adapt(self, model: PreTrainedModel, settings: ModelSettings) -> None:
        """Batch the vision tower's attention."""
        tower = model.model.visual  # type: ignore[union-attr]
        batch_vision_attention(tower, apply_rotary_pos_emb_vision, eager_attention_forward)  # type: ignore[arg-type]

    def end_of_turn(self, processor: ProcessorMixin) -> str:
        """ChatML's mark, which is not the end-of-text token of the base vocabulary."""
        return "<|im_end|>"

    def content(self, media: Media) -> list[dict[str, str]]:
        """One entry a video, one an image."""
        return [{"type": "video"}] if isinstance(media, Clip) else [{"type": "image"} for _ in media]

    def prepare_images(self, vlm: "VLM", images: Images) -> Prepared:
        """``pixel_values [patches, features]`` and ``image_grid_thw [images, 3]``."""
        processor = vlm.processor.image_processor  # type: ignore[attr-defined]
        data = processor(images=list(images), return_tensors="pt")
        grid = data["image_grid_thw"]
        counts = tuple((grid.prod(-1) // processor.merge_size**2).tolist())
        return Prepared({"pixel_values": data["pixel_values"], "image_grid_thw": grid}, counts)

    def prepare_clip(self, vlm: "VLM", clip: Clip) -> Prepared:
        """``pixel_values_videos [patches, features]``, ``video_grid_thw [1, 3]``, ``second_per_grid_ts [1]``."""
        processor = vlm.processor.video_processor  # type: ignore[attr-defined]
        frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2)
        size = frame_size(vlm, len(clip))
        data = processor(videos=[frames], return_tensors="pt", do_sample_frames=False, size=size)
        grid = data["video_grid_thw"]
        seconds = second_per_grid(clip, processor.temporal_patch_size, vlm.temporal_positions)
        tensors = {
            "pixel_values_videos": data["pixel_values_videos"],
            "video_grid_thw": grid,
            "second_per_grid_ts": torch.tensor([seconds], dtype=torch.float64),
        }
        return Prepared(tensors, (int(grid.prod()) // processor.merge_size**2,))

    def token_boxes(self, vlm: "VLM", image: Image.Image, inputs: Mapping[str, Tensor]) -> NDArray[np.float64]:
        """Merged squares of patches, row by row, of the whole image, which is scaled to whole squares."""
        merge = vlm.processor.image_processor.merge_size  # type: ignore[attr-defined]
        [(_, height, width)] = inputs["image_grid_thw"].tolist()
        return grid_boxes(height // merge, width // merge, (0, image.width), (0, image.height))

    def work(self, config: Any, inputs: Mapping[str, Tensor]) -> Work:
        """Patches, attention within windows or frames, merged squares."""
        vision = config.vision_config
        merge, window = vision.spatial_merge_size, vision.window_size // vision.patch_size
        grids = vision_grids(inputs)
        whole = sum(cells * (height * width) ** 2 for cells, height, width in grids)
        windows = sum(
            cells * sum(rows**2 for rows in cut(height, window)) * sum(columns**2 for columns in cut(width, window))
            for cells, height, width in grids
        )
        full = set(vision.fullatt_block_indexes)
        pairs = {f"visual.blocks.{block}": whole if block in full else windows for block in range(vision.depth)}
        patches = sum(cells * height * width for cells, height, width in grids)
        return text_work(inputs, {"visual.merger": patches // merge**2, "visual": patches}, pairs)

    def token_tensors(self, vlm: "VLM", input_ids: Tensor) -> dict[str, Tensor]:
        """``mm_token_type_ids``: 0 text, 1 image, 2 video."""
        image_id, video_id = vlm.placeholder_ids
        return {"mm_token_type_ids": (input_ids == image_id).int() + 2 * (input_ids == video_id).int()}

    def position_ids(self, vlm: "VLM", batch: Mapping[str, Tensor]) -> Tensor:
        """Three rows (time, height, width) ``[3, B, L]``, by the model's own rule.

        They are computed here, from float64 seconds, because integers survive what happens to a batch on its way
        (DeepSpeed casts floating inputs to bfloat16, which rounds the seconds).
        """
        return rope_index(Qwen2_5_VLModel, vlm.config, batch)

    def pack_positions(self, positions: Sequence[Tensor]) -> Tensor:
        """Four rows ``[4, 1, L]``: time, height, width, and in front the token's number, which tells examples apart."""
        numbers = [torch.arange(one.shape[-1])[None, None] for one in positions]
        return torch.cat([torch.cat(numbers, dim=-1), super().pack_positions(positions)])


def vision_grids(inputs: Mapping[str, Tensor]) -> list[tuple[int, int, int]]:
    """Frame pairs, rows and columns of patches of each image and video of an encoded example."""
    grids = [inputs[key].tolist() for key in ("image_grid_thw", "video_grid_thw") if key in inputs]
    return [(cells, height, width) for grid in grids for cells, height, width in grid]


def cut(length: int, window: int) -> list[int]:
    """Lengths of the windows along one side, the last one what is left."""
    whole, rest = divmod(length, window)
    return [window] * whole + [rest] * bool(rest)


def rope_index(model_class: Any, config: Any, batch: Mapping[str, Tensor]) -> Tensor:
    """Call a Qwen model class's ``get_rope_index`` without a model, so that data workers can.

    Returns:
        int64 ``[3, B, L]``.
    """
    rule = SimpleNamespace(config=config)
    rule.get_vision_position_ids = lambda *args, **kwargs: model_class.get_vision_position_ids(rule, *args, **kwargs)
    names = ("input_ids", "mm_token_type_ids", "image_grid_thw", "video_grid_thw", "attention_mask")
    times = {"second_per_grid_ts": batch["second_per_grid_ts"]} if "second_per_grid_ts" in batch else {}
    positions, _ = model_class.get_rope_index(rule, **{name: batch.get(name) for name in names}, **times)
    return positions
