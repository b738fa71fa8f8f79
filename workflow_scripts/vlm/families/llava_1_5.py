"""LLaVA-1.5: an image model. A video is several images, each frame's feature map average-pooled by a stride."""

from collections.abc import Mapping
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d
from transformers import LlavaForConditionalGeneration, PreTrainedModel, ProcessorMixin

from workflow_scripts.settings import InputError, ModelSettings
from workflow_scripts.vlm.families.base import Family, Part, Prepared, grid_boxes
from workflow_scripts.vlm.flops import Work, text_work
from workflow_scripts.vlm.media import Clip, Images, Media

if TYPE_CHECKING:
    from workflow_scripts.vlm.load import VLM


class Llava15(Family):
    """Adapter for ``LlavaForConditionalGeneration`` with a CLIP tower of one fixed resolution."""

    model_type: ClassVar[str] = "llava"
    model_class: ClassVar[type[PreTrainedModel]] = LlavaForConditionalGeneration
    placeholders: ClassVar[tuple[str, ...]] = ("<image>",)
    part_names: ClassVar[Mapping[str, Part]] = {
        "vision_tower": "vision_tower",
        "multi_modal_projector": "projector",
        "language_model": "language_model",
        "lm_head": "language_model",
    }

    def configure(self, processor: ProcessorMixin, config: Any, settings: ModelSettings) -> None:
        """Check that the settings ask for the tower's resolution, and that the stride divides its grid."""
        vision = config.vision_config
        check_pixels(settings, "max_pixels", vision.image_size)
        check_pixels(settings, "video_max_pixels", vision.image_size)
        grid = vision.image_size // vision.patch_size
        if grid % settings.video_pool_stride:
            raise InputError(
                f"model {settings.name}: video_pool_stride is {settings.video_pool_stride}; "
                f"expected a divisor of the feature map's width, {grid}"
            )

    def adapt(self, model: PreTrainedModel, settings: ModelSettings) -> None:
        """Pool the features of each image whose ``image_sizes`` is smaller than the image."""
        inner: Any = model.model
        original = inner.get_image_features
        inner.get_image_features = MethodType(_pooling(original), inner)

    def content(self, media: Media) -> list[dict[str, str]]:
        """One entry an image, one a frame."""
        return [{"type": "image"} for _ in range(len(media))]

    def prepare_images(self, vlm: "VLM", images: Images) -> Prepared:
        """``pixel_values [images, 3, H, W]`` and ``image_sizes [images, 2]``, the pixels left after pooling."""
        return self._prepare(vlm, list(images), stride=1)

    def prepare_clip(self, vlm: "VLM", clip: Clip) -> Prepared:
        """As images, with ``image_sizes`` divided by the stride of the pooling."""
        frames = list(torch.from_numpy(clip.frames).permute(0, 3, 1, 2))
        return self._prepare(vlm, frames, stride=vlm.settings.video_pool_stride)

    def token_boxes(self, vlm: "VLM", image: Image.Image, inputs: Mapping[str, Tensor]) -> NDArray[np.float64]:
        """The tower's patches, row by row, of the square in the image's middle that its processor cuts out."""
        side = vlm.config.vision_config.image_size // vlm.config.vision_config.patch_size
        processor = vlm.processor.image_processor  # type: ignore[attr-defined]
        if not processor.do_center_crop or getattr(processor, "do_pad", None):
            raise InputError(
                f"model {vlm.settings.name}: its processor does not cut a square out of the middle; expected "
                "do_center_crop without do_pad, to know what a token shows"
            )
        shown = min(image.size) * min(1.0, vlm.config.vision_config.image_size / processor.size["shortest_edge"])
        left, top = (image.width - shown) / 2, (image.height - shown) / 2
        return grid_boxes(side, side, (left, left + shown), (top, top + shown))

    def work(self, config: Any, inputs: Mapping[str, Tensor]) -> Work:
        """Every image's features are projected, then pooled."""
        images = inputs["pixel_values"].shape[0] if "pixel_values" in inputs else 0
        return clip_work(config, inputs, images, projected=images * clip_cells(config))

    def _prepare(self, vlm: "VLM", images: list[Any], stride: int) -> Prepared:
        data = vlm.processor.image_processor(images, return_tensors="pt")  # type: ignore[attr-defined]
        pixels: Tensor = data["pixel_values"]
        patch = vlm.config.vision_config.patch_size
        height, width = pixels.shape[-2] // stride, pixels.shape[-1] // stride
        sizes = torch.tensor([[height, width]] * len(pixels))
        return Prepared(
            {"pixel_values": pixels, "image_sizes": sizes}, ((height // patch) * (width // patch),) * len(pixels)
        )


def clip_cells(config: Any) -> int:
    """Patches of one image."""
    return int((config.vision_config.image_size // config.vision_config.patch_size) ** 2)


def clip_work(config: Any, inputs: Mapping[str, Tensor], images: int, projected: int) -> Work:
    """Work of a LLaVA on `images` images, of which `projected` features are projected.

    CLIP's tower adds a class token to each image. Its layers behind the one whose features are taken have no use.
    """
    cells, layers, chosen = clip_cells(config), config.vision_config.num_hidden_layers, config.vision_feature_layer
    used = max(index % (layers + 1) for index in ([chosen] if isinstance(chosen, int) else chosen))
    unused = {f"vision_tower.encoder.layers.{layer}": 0 for layer in range(used, layers)}
    rows = {"vision_tower.embeddings": images * cells, "vision_tower": images * (cells + 1)}
    pairs = {"vision_tower": images * (cells + 1) ** 2}
    return text_work(inputs, {**unused, **rows, "multi_modal_projector": projected}, {**unused, **pairs})


def check_pixels(settings: ModelSettings, key: str, image_size: int) -> None:
    """Refuse a resolution that a tower of fixed resolution cannot have.

    Raises:
        InputError: the pixels differ.
    """
    if getattr(settings, key) != image_size**2:
        raise InputError(
            f"model {settings.name}: {key} is {getattr(settings, key)}; expected {image_size**2}, "
            f"since the vision tower takes {image_size}x{image_size} pixels only"
        )


def _pooling(original: Any) -> Any:
    """Wrap ``LlavaModel.get_image_features``: same features, those of video frames pooled."""

    def get_image_features(self: Any, pixel_values: Tensor, *args: Any, image_sizes: Any = None, **kwargs: Any) -> Any:
        outputs = original(pixel_values, *args, **kwargs)
        if image_sizes is None:
            return outputs
        strides = (pixel_values.shape[-1] // image_sizes[:, 1]).tolist()
        patch = self.config.vision_config.patch_size
        rows, columns = pixel_values.shape[-2] // patch, pixel_values.shape[-1] // patch
        pooled = list(outputs.pooler_output)
        for stride in set(strides) - {1}:
            which = [index for index, one in enumerate(strides) if one == stride]
            maps = torch.stack([pooled[index] for index in which])  # [n, rows * columns, width]
            maps = avg_pool2d(maps.transpose(1, 2).unflatten(2, (rows, columns)), stride)
            for index, features in zip(which, maps.flatten(2).transpose(1, 2), strict=True):
                pooled[index] = features
        outputs.pooler_output = pooled
        return outputs

    return get_image_features
