"""Image conversations as samples beside a run's videos: to learn from too, or to hold the videos' gradient against."""

from pathlib import Path

from torch.utils.data import Dataset

from workflow_scripts.curation.images import ImageStore, read_images, store_of
from workflow_scripts.finetuning.cost import BYTES_A_TOKEN, CostModel
from workflow_scripts.finetuning.dataset import Sample, VideoConversations, encoded
from workflow_scripts.settings.context import image_tokens
from workflow_scripts.vlm.conversation import Example, turns
from workflow_scripts.vlm.encode import visual_tokens
from workflow_scripts.vlm.load import VLM


class ImageConversations(Dataset[Sample]):
    """The image conversations of a table, each encoded when asked for. `vlm` needs no model.

    InputError names a conversation that cannot be encoded or has nothing to learn from.
    """

    def __init__(self, table: Path, vlm: VLM) -> None:
        images = read_images(table)
        self.sample_ids = images["image_id"].tolist()
        self.pixels = (images["width"] * images["height"]).tolist()
        self.turns = [
            turns(row, image_id) for row, image_id in zip(images["conversations"], self.sample_ids, strict=True)
        ]
        self.store = ImageStore(store_of(table))
        self.vlm = vlm

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __getitem__(self, number: int) -> Sample:
        """Conversation `number`; `~number` is its stand-in."""
        if number < 0:
            return self[~number].standing_in()
        image_id = self.sample_ids[number]
        example = Example(turns=self.turns[number], media=(self.store.image(image_id),))
        inputs = encoded(self.vlm, example, image_id, f"image conversation {image_id}")
        return Sample(
            sample_id=image_id,
            budget=0,
            frames=0,
            tokens=inputs["input_ids"].numel(),
            visual_tokens=visual_tokens(inputs),
            inputs=inputs,
            work=self.vlm.family.work(self.vlm.config, inputs),
            image=True,
        )

    def check_longest(self) -> None:
        """Encode the longest text, the largest picture and the likely longest of both, before training would."""
        said = [sum(len(turn.text.encode()) for turn in one) for one in self.turns]
        seen = [image_tokens(self.vlm.settings, pixels) or 0 for pixels in self.pixels]
        both = [words / BYTES_A_TOKEN + tokens for words, tokens in zip(said, seen, strict=True)]
        for sizes in (said, self.pixels, both):
            self[max(range(len(sizes)), key=sizes.__getitem__)]

    def costs(self, cost: CostModel) -> list[float]:
        """What each costs, relative to the others and to videos. Nothing is decoded."""
        return [cost.of_image(said, pixels) for said, pixels in zip(self.turns, self.pixels, strict=True)]


class Samples(Dataset[Sample]):
    """Videos, and behind them the image conversations, where there are any: one row of numbers for both."""

    def __init__(self, videos: VideoConversations, images: ImageConversations | None) -> None:
        self.videos, self.images, self.vlm = videos, images, videos.vlm

    def __len__(self) -> int:
        return len(self.videos) + (len(self.images) if self.images else 0)

    def __getitem__(self, number: int) -> Sample:
        """Sample `number`; `~number` is its stand-in."""
        if number < 0:
            return self[~number].standing_in()
        if number < len(self.videos):
            return self.videos[number]
        assert self.images is not None
        return self.images[number - len(self.videos)]

    def check_longest(self) -> None:
        """Encode what is likely longest, so that an overflow shows before training does."""
        self.videos.check_longest()
        if self.images is not None:
            self.images.check_longest()

    def costs(self, cost: CostModel) -> tuple[list[float], list[float]]:
        """What each video and each image conversation costs."""
        return self.videos.costs(cost), self.images.costs(cost) if self.images else []
