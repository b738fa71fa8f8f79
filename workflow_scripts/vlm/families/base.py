"""What a model family must say about itself; the rest of the package is the same for all."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from workflow_scripts.settings import ModelSettings
from workflow_scripts.vlm.flops import Work
from workflow_scripts.vlm.media import Clip, Images, Media

if TYPE_CHECKING:
    from workflow_scripts.vlm.load import VLM

Part = Literal["vision_tower", "projector", "language_model"]


@dataclass(frozen=True)
class Prepared:
    """Media as the model takes it.

    Attributes:
        tensors: pixel tensors, grids and times, with one row a patch, an image or a video.
        counts: tokens that each placeholder in the text stands for, in order.
        substitutions: text of the chat template -> text that replaces it, where the family writes times as text.
    """

    tensors: dict[str, Tensor]
    counts: tuple[int, ...]
    substitutions: Mapping[str, str] = field(default_factory=dict)


class Family(ABC):
    """A model family: one subclass in one module, named by the family's row in ``settings/families.py``."""

    model_type: ClassVar[str]
    model_class: ClassVar[type[PreTrainedModel]]
    placeholders: ClassVar[tuple[str, ...]]
    part_names: ClassVar[Mapping[str, Part]]

    @abstractmethod
    def configure(self, processor: ProcessorMixin, config: Any, settings: ModelSettings) -> None:
        """Set the resolution of ``settings`` on the processor and, where the model depends on it, on its config."""

    @abstractmethod
    def content(self, media: Media) -> list[dict[str, str]]:
        """Give the chat template's entries for the media."""

    @abstractmethod
    def prepare_images(self, vlm: "VLM", images: Images) -> Prepared:
        """Turn images into model inputs."""

    @abstractmethod
    def prepare_clip(self, vlm: "VLM", clip: Clip) -> Prepared:
        """Turn a sampled clip into model inputs."""

    @abstractmethod
    def token_boxes(self, vlm: "VLM", image: Image.Image, inputs: Mapping[str, Tensor]) -> NDArray[np.float64]:
        """Say what each token of an example's only image shows of it.

        Args:
            vlm: what the example was encoded for.
            image: the picture.
            inputs: the encoded example, without batch dimension.

        Returns:
            float64 ``[tokens, 4]``, in the order of the tokens: left, top, right and bottom in pixels of the image; nan
            for a token without a place.
        """

    @abstractmethod
    def work(self, config: Any, inputs: Mapping[str, Tensor]) -> Work:
        """Say what one encoded example, without batch dimension, gives the model's layers to do."""

    def end_of_turn(self, processor: ProcessorMixin) -> str:
        """Give the token that closes an answer."""
        return str(processor.tokenizer.eos_token)  # type: ignore[attr-defined]

    def adapt(self, model: PreTrainedModel, settings: ModelSettings) -> None:  # noqa: B027
        """Change how a loaded model computes, never what it stores; nothing by default."""

    def token_tensors(self, vlm: "VLM", input_ids: Tensor) -> dict[str, Tensor]:
        """Give further tensors with one entry a token; none by default."""
        return {}

    def join(self, key: str, tensors: Sequence[Tensor]) -> Tensor:
        """Join one kind of media tensor of several examples: along the first dimension by default."""
        return torch.cat(list(tensors))

    def position_ids(self, vlm: "VLM", batch: Mapping[str, Tensor]) -> Tensor:
        """Give position ids of a padded batch, ``[B, L]`` or with more rows in front: by default tokens are counted."""
        return (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)

    def pack_positions(self, positions: Sequence[Tensor]) -> Tensor:
        """Join the position ids of examples ``[1, L]``, each a batch of its own, to those of one row."""
        return torch.cat(list(positions), dim=-1)


def grid_boxes(rows: int, columns: int, across: tuple[float, float], down: tuple[float, float]) -> NDArray[np.float64]:
    """A rectangle cut evenly, float64 ``[rows * columns, 4]`` row by row. across, down: from where to where it goes."""
    x, y = np.linspace(*across, columns + 1), np.linspace(*down, rows + 1)
    top, left = np.divmod(np.arange(rows * columns), columns)
    boxes: NDArray[np.float64] = np.stack([x[left], y[top], x[left + 1], y[top + 1]], axis=1)
    return boxes
