"""The model that lmms-eval asks: one class over `vlm` for all families.

Frames come from the frame store, N uniform ones a video, with their timestamps; images go to the model as they are.
Blind, the model sees a mid-grey picture in place of each: what it then earns, language alone earns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from lmms_eval.api.model import lmms
from PIL import Image

from workflow_scripts.evaluation.media import relative, visuals
from workflow_scripts.evaluation.tasks import Task
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.settings import InputError, cli
from workflow_scripts.vlm.conversation import Example, Turn
from workflow_scripts.vlm.generate import generate
from workflow_scripts.vlm.load import VLM
from workflow_scripts.vlm.media import Clip, Media

GREY = 128
NEW_TOKENS = 128  # where a task sets no limit: far above what any of the eight asks for
# lmms-eval's delimiter of few-shot examples, its stop for every task that sets none. It would cut an answer that opens
# with a paragraph of its own, so lmms-eval's wrappers of these models drop it too.
NOT_A_STOP = "\n\n"


@dataclass(frozen=True)
class Shown:
    """What one question showed: the image or video it is about, and how many frames (or images) of it."""

    cluster: str
    frames: int


@dataclass(frozen=True)
class Request:
    """One question: its task, its row, its prompt and how its answer ends."""

    task: str
    split: str
    doc_id: int
    prompt: str
    max_new_tokens: int
    stop: tuple[str, ...]


def blinded(media: Media) -> Media:
    """As many mid-grey frames or images, of the same sizes and at the same times."""
    if isinstance(media, Clip):
        return replace(media, frames=np.full_like(media.frames, GREY))
    return tuple(Image.new("RGB", image.size, (GREY, GREY, GREY)) for image in media)


class Answerer(lmms):
    """Answers lmms-eval's `generate_until` requests, greedily and in batches of questions of one task and like length.

    Args:
        vlm: the model.
        tasks: the tasks that will ask, by name.
        store: frames of the benchmarks' videos.
        frames: frames a video.
        last_frame: tasks of which the video's last frame is among them.
        blind: whether grey replaces everything.
        batch_size: questions generated together.

    Attributes:
        shown: what each question showed, by task and row; filled by answering.
    """

    is_simple = True

    def __init__(
        self,
        vlm: VLM,
        tasks: Iterable[Task],
        store: FrameStore,
        frames: int,
        *,
        last_frame: Collection[str] = (),
        blind: bool = False,
        batch_size: int = 8,
    ) -> None:
        super().__init__()
        self.vlm = vlm
        self.tasks = {str(task.config.task): task for task in tasks}
        self.store = store
        self.frames = frames
        self.last_frame = last_frame
        self.blind = blind
        self.batch_size = batch_size
        self.shown: dict[tuple[str, int], Shown] = {}

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer lmms-eval's instances, in their order."""
        asked = [_request(instance.args) for instance in requests]
        answers = [""] * len(asked)
        order = sorted(range(len(asked)), key=lambda i: (asked[i].task, len(asked[i].prompt), i))
        with cli.progress(len(asked), "questions") as advance:
            for batch in self._batches(order, asked):
                examples = [self._example(asked[i]) for i in batch]
                first = asked[batch[0]]
                said = generate(self.vlm, examples, max_new_tokens=first.max_new_tokens, stop=first.stop)
                for i, answer in zip(batch, said, strict=True):
                    answers[i] = answer
                advance(len(batch))
        return answers

    def _batches(self, order: Sequence[int], asked: Sequence[Request]) -> Iterable[list[int]]:
        batch: list[int] = []
        for i in order:
            if batch and (len(batch) == self.batch_size or asked[i].task != asked[batch[0]].task):
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def _example(self, request: Request) -> Example:
        media, cluster = self._media(request)
        self.shown[request.task, request.doc_id] = Shown(cluster, 0 if media is None else len(media))
        if media is not None and self.blind:
            media = blinded(media)
        return Example((Turn("user", request.prompt),), media)

    def _media(self, request: Request) -> tuple[Media | None, str]:
        """What a question shows, and its name: a video's path, or a checksum of the images."""
        task = self.tasks[request.task]
        shown = visuals(task, task.dataset[request.split][request.doc_id])
        if not shown:
            return None, f"{request.task}/{request.doc_id}"
        if all(isinstance(visual, Image.Image) for visual in shown):
            images = tuple(image.convert("RGB") for image in shown)
            checksum = hashlib.sha256()
            for image in images:
                checksum.update(repr(image.size).encode() + image.tobytes())
            return images, checksum.hexdigest()[:16]
        if len(shown) == 1 and isinstance(shown[0], str):
            video = relative(shown[0])
            return self.store.clip(video, self.frames, last=request.task in self.last_frame), video
        kinds = ", ".join(type(visual).__name__ for visual in shown)
        raise InputError(f"task {request.task}: question {request.doc_id} shows {kinds}; expected images, or one video")

    def clean(self) -> None:
        """Keep the model: upstream frees it here to make room for a judge, and there is none."""

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Not served."""
        raise InputError("a task asks for likelihoods; expected tasks with output_type generate_until")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Not served."""
        raise InputError("a task asks in several rounds; expected tasks with output_type generate_until")


def _request(arguments: tuple[Any, ...]) -> Request:
    """A request of lmms-eval: (prompt, generation settings, doc_to_visual, row, task, split)."""
    prompt, settings, _, doc_id, task, split = arguments
    until = settings.get("until") or ()
    stop = tuple(text for text in ([until] if isinstance(until, str) else until) if text != NOT_A_STOP)
    return Request(task, split, doc_id, prompt, int(settings.get("max_new_tokens") or NEW_TOKENS), stop)
