"""Qwen3-VL: as Qwen2.5-VL, but each frame pair is announced by its time, written as text: ``<1.5 seconds>``."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, Qwen3VLForConditionalGeneration, Qwen3VLModel
from transformers.models.qwen3_vl.modeling_qwen3_vl import apply_rotary_pos_emb_vision, eager_attention_forward

from workflow_scripts.settings import ModelSettings
from workflow_scripts.settings.recipes import TemporalPositions
from workflow_scripts.vlm.families.base import Part, Prepared
from workflow_scripts.vlm.families.qwen2_5_vl import Qwen25VL, frame_size, rope_index, second_per_grid, vision_grids
from workflow_scripts.vlm.families.vision_attention import batch_vision_attention
from workflow_scripts.vlm.flops import Work, text_work
from workflow_scripts.vlm.media import Clip

if TYPE_CHECKING:
    from workflow_scripts.vlm.load import VLM


def grid_seconds(clip: Clip, temporal_patch_size: int, temporal_positions: TemporalPositions) -> np.ndarray:
    """Give the moment of each temporal grid cell: the mean of its first and last frame.

    Args:
        clip: the sampled clip; an incomplete last cell repeats the last frame.
        temporal_patch_size: frames in one cell.
        temporal_positions: ``real_time`` reads the timestamps; the others count cells at the spacing of
            ``second_per_grid`` from zero.

    Returns:
        float64 ``[cells]``, seconds.
    """
    cells = -(-len(clip) // temporal_patch_size)
    if temporal_positions != "real_time":
        spacing = second_per_grid(clip, temporal_patch_size, temporal_positions)
        within = (temporal_patch_size - 1) / temporal_patch_size / 2
        return (np.arange(cells) + within) * spacing
    first = np.arange(cells) * temporal_patch_size
    last = np.minimum(first + temporal_patch_size - 1, len(clip) - 1)
    seconds: np.ndarray = (clip.timestamps_s[first] + clip.timestamps_s[last]) / 2
    return seconds


class Qwen3VL(Qwen25VL):
    """Adapter for ``Qwen3VLForConditionalGeneration``."""

    model_type: ClassVar[str] = "qwen3_vl"
    model_class: ClassVar[type[PreTrainedModel]] = Qwen3VLForConditionalGeneration
    part_names: ClassVar[Mapping[str, Part]] = {
        "visual.merger": "projector",
        "visual.deepstack_merger_list": "projector",
        "visual": "vision_tower",
        "language_model": "language_model",
        "lm_head": "language_model",
    }

    def adapt(self, model: PreTrainedModel, settings: ModelSettings) -> None:
        """Batch the vision tower's attention."""
        tower = model.model.visual  # type: ignore[union-attr]
        batch_vision_attention(tower, apply_rotary_pos_emb_vision, eager_attention_forward)  # type: ignore[arg-type]

    def prepare_clip(self, vlm: "VLM", clip: Clip) -> Prepared:
        """``pixel_values_videos [patches, features]`` and ``video_grid_thw [1, 3]``; times go into the text."""
        processor = vlm.processor.video_processor  # type: ignore[attr-defined]
        frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2)
        group = processor.temporal_patch_size
        missing = -len(frames) % group
        if missing:
            # Upstream repeats the last frame only after resizing, and refuses a clip shorter than one cell.
            frames = torch.cat([frames, frames[-1:].expand(missing, -1, -1, -1)])
        # This processor's limits hold for all frames of a video together.
        size = {edge: pixels * len(frames) for edge, pixels in frame_size(vlm, len(clip)).items()}
        data = processor(videos=[frames], return_tensors="pt", do_sample_frames=False, size=size)
        grid = data["video_grid_thw"]
        cells, tokens = int(grid[0, 0]), int(grid[0, 1:].prod()) // processor.merge_size**2
        written = "".join(
            f"<{moment:.1f} seconds><|vision_start|><|video_pad|><|vision_end|>"
            for moment in grid_seconds(clip, group, vlm.temporal_positions)
        )
        tensors = {"pixel_values_videos": data["pixel_values_videos"], "video_grid_thw": grid}
        # The whole template entry is replaced, as the model was trained (transformers 5.23 leaves an outer pair of
        # vision marks around it).
        return Prepared(tensors, (tokens,) * cells, {"<|vision_start|><|video_pad|><|vision_end|>": written})

    def work(self, config: Any, inputs: Mapping[str, Tensor]) -> Work:
        """Patches, attention within frames, merged squares, those of the intermediate layers too."""
        merged = config.vision_config.spatial_merge_size**2
        grids = vision_grids(inputs)
        patches = sum(cells * height * width for cells, height, width in grids)
        rows = {"visual.merger": patches // merged, "visual.deepstack_merger_list": patches // merged}
        pairs = {"visual": sum(cells * (height * width) ** 2 for cells, height, width in grids)}
        return text_work(inputs, {**rows, "visual": patches}, pairs)

    def position_ids(self, vlm: "VLM", batch: Mapping[str, Tensor]) -> Tensor:
        """Three rows (time, height, width) ``[3, B, L]``, by the model's own rule."""
        return rope_index(Qwen3VLModel, vlm.config, batch)
