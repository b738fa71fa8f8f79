"""The model that lmms-eval asks: one class over `vlm` for all families.

Frames come from the frame store, N uniform ones a video, with their timestamps; images go to the model as they are.
Blind, the model sees a mid-grey picture in place of each: what it then earns, language alone earns.

A question that was answered before, by the same weights and the same code, is not asked again: its key holds all that
the model would be given. Questions are generated in padded batches of like length, those about one video together, so
that it is read once; that changes a response by rounding at most, so neither the size of a batch nor what else is in it
is part of the key.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from lmms_eval.api.model import lmms
from PIL import Image

from workflow_scripts.evaluation.answers import Answers
from workflow_scripts.evaluation.identity import digest
from workflow_scripts.evaluation.media import relative, visuals
from workflow_scripts.evaluation.tasks import Task
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.settings import InputError, cli
from workflow_scripts.vlm.conversation import Example, Turn
from workflow_scripts.vlm.generate import generate
from workflow_scripts.vlm.load import VLM
from workflow_scripts.vlm.media import Clip, Images, Media

GREY = 128
NEW_TOKENS = 128  # where a task sets no limit: far above what any of the eight asks for
# lmms-eval's delimiter of few-shot examples, its stop for every task that sets none. It would cut an answer that opens
# with a paragraph of its own, so lmms-eval's wrappers of these models drop it too.
NOT_A_STOP = "\n\n"
# Only for the order of questions: about what a token stands for.
PIXELS_A_TOKEN, LETTERS_A_TOKEN = 28 * 28, 4


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


@dataclass(frozen=True)
class Question:
    """A request with the key of its answer, which holds all that decides it but the model, and about how long it is.

    seen: checksum of what it shows; None where it shows nothing.
    """

    request: Request
    key: str
    seen: str | None
    tokens: float

    @property
    def ends(self) -> tuple[int, tuple[str, ...]]:
        """How its answer ends; the same for all questions of a batch."""
        return self.request.max_new_tokens, self.request.stop


def blinded(media: Media) -> Media:
    """As many mid-grey frames or images, of the same sizes and at the same times."""
    if isinstance(media, Clip):
        return replace(media, frames=np.full_like(media.frames, GREY))
    return tuple(Image.new("RGB", image.size, (GREY, GREY, GREY)) for image in media)


class Answerer(lmms):
    """Answers lmms-eval's `generate_until` requests, greedily and in batches of questions of like length.

    Args:
        load: loads the model; called when the first question must be asked.
        tasks: the tasks that will ask, by name.
        store: frames of the benchmarks' videos.
        frames: frames a video.
        answers: the model's answers so far; None: none are kept.
        last_frame: tasks of which the video's last frame is among them.
        blind: whether grey replaces everything.
        batch_size: questions generated together.
        max_pixels: pixels of an image beyond which the model sees no more of them.

    Attributes:
        shown: what each question showed, by task and row; filled by answering.
        generated: number of questions asked of the model.
    """

    is_simple = True

    def __init__(
        self,
        load: Callable[[], VLM],
        tasks: Iterable[Task],
        store: FrameStore,
        frames: int,
        *,
        answers: Answers | None = None,
        last_frame: Collection[str] = (),
        blind: bool = False,
        batch_size: int = 8,
        max_pixels: int = 1280 * 28 * 28,
    ) -> None:
        super().__init__()
        self.load = load
        self.tasks = {str(task.config.task): task for task in tasks}
        self.store = store
        self.frames = frames
        self.answers = answers
        self.last_frame = last_frame
        self.blind = blind
        self.batch_size = batch_size
        self.max_pixels = max_pixels
        self.shown: dict[tuple[str, int], Shown] = {}
        self.generated = 0

    @cached_property
    def vlm(self) -> VLM:
        """The model."""
        return self.load()

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer lmms-eval's instances, in their order."""
        asked = [self._question(_request(instance.args)) for instance in requests]
        known = {one.key: self.answers.get(one.key) if self.answers else None for one in asked}
        # By key: the same question about the same media is asked once.
        open_ = list({one.key: one for one in asked if known[one.key] is None}.values())
        before = sum(answer is not None for answer in known.values())
        with cli.progress(len(open_), f"questions ({before} answered before)") as advance:
            for batch in self._batches(open_):
                said = self._answer(batch)
                if self.answers is not None:
                    self.answers.add(said)
                known.update(said)
                self.generated += len(batch)
                advance(len(batch))
        return [str(known[one.key]) for one in asked]

    def _batches(self, questions: Sequence[Question]) -> Iterator[list[Question]]:
        """Batches of questions that end alike, the longest first: where memory is short, it is at the start.

        Questions that show the same stand together, and share a batch where one has room for all of them.
        """
        together: dict[object, list[Question]] = {}
        for one in questions:
            together.setdefault((one.ends, one.seen if one.seen is not None else one.key), []).append(one)
        groups = sorted(together.values(), key=lambda group: (group[0].ends, -max(one.tokens for one in group)))
        batch: list[Question] = []
        for group in groups:
            fits = len(batch) + len(group) <= self.batch_size or len(group) > self.batch_size
            if batch and (not fits or group[0].ends != batch[0].ends):
                yield batch
                batch = []
            for one in sorted(group, key=lambda one: -one.tokens):
                if len(batch) == self.batch_size:
                    yield batch
                    batch = []
                batch.append(one)
        if batch:
            yield batch

    def _answer(self, batch: Sequence[Question]) -> dict[str, str]:
        """Ask the model; answers by key."""
        media = {one.seen: self._media(one.request) for one in {one.seen: one for one in batch}.values()}
        examples = [self._example(one.request, media[one.seen]) for one in batch]
        max_new_tokens, stop = batch[0].ends
        said = generate(self.vlm, examples, max_new_tokens=max_new_tokens, stop=stop)
        return {one.key: answer for one, answer in zip(batch, said, strict=True)}

    def _question(self, request: Request) -> Question:
        """Note what a request shows, and give it its key."""
        seen = self._visual(request)
        pixels = 0
        if seen is None:
            cluster, checksum, count = f"{request.task}/{request.doc_id}", None, 0
        elif isinstance(seen, str):
            checksum, count = self.store.checksum(seen, self.frames, last=request.task in self.last_frame)
            cluster = seen
        else:
            checksum, count = _images_sha256(seen), len(seen)
            cluster = checksum[:16]
            pixels = sum(min(math.prod(image.size), self.max_pixels) for image in seen)
        self.shown[request.task, request.doc_id] = Shown(cluster, count)
        key = digest([request.prompt, checksum, self.blind, request.max_new_tokens, request.stop])
        return Question(request, key, checksum, pixels / PIXELS_A_TOKEN + len(request.prompt) / LETTERS_A_TOKEN)

    def _example(self, request: Request, media: Media | None) -> Example:
        return Example((Turn("user", request.prompt),), media)

    def _media(self, request: Request) -> Media | None:
        """What the model is shown with a question."""
        seen = self._visual(request)
        media: Media | None
        if isinstance(seen, str):
            media = self.store.clip(seen, self.frames, last=request.task in self.last_frame)
        else:
            media = seen
        return blinded(media) if media is not None and self.blind else media

    def _visual(self, request: Request) -> Images | str | None:
        """What a question shows: images, a video's path below the benchmarks' root, or nothing."""
        task = self.tasks[request.task]
        shown = visuals(task, task.dataset[request.split][request.doc_id])
        if not shown:
            return None
        if all(isinstance(visual, Image.Image) for visual in shown):
            return tuple(image.convert("RGB") for image in shown)
        if len(shown) == 1 and isinstance(shown[0], str):
            return relative(shown[0])
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


def _images_sha256(images: Images) -> str:
    checksum = hashlib.sha256()
    for image in images:
        checksum.update(repr(image.size).encode() + image.tobytes())
    return checksum.hexdigest()


def _request(arguments: tuple[Any, ...]) -> Request:
    """A request of lmms-eval: (prompt, generation settings, doc_to_visual, row, task, split)."""
    prompt, settings, _, doc_id, task, split = arguments
    until = settings.get("until") or ()
    stop = tuple(text for text in ([until] if isinstance(until, str) else until) if text != NOT_A_STOP)
    return Request(task, split, doc_id, prompt, int(settings.get("max_new_tokens") or NEW_TOKENS), stop)
