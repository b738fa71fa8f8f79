"""What the model is shown: frames by the store, pictures as they are, grey when blind; in batches of like questions."""

import math
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.evaluation.conftest import FRAMES, World, well_said
from workflow_scripts.evaluation import evaluate, media, tasks
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.settings import InputError
from workflow_scripts.vlm.media import Clip


def ask(world: World, model: Any, suite: str) -> list[str]:
    """Put every question of a suite, as lmms-eval would."""
    requests = []
    for one in world.of(suite):
        for name, task in world.tasks[one.name].items():
            task.build_all_requests(limit=None, rank=0, world_size=1)
            requests += [SimpleNamespace(args=instance.args, task=name) for instance in task.instances]
    answers: list[str] = model.generate_until(requests)
    return answers


def test_answers_are_in_the_order_of_the_questions_and_batches_hold_those_that_end_alike(
    world: World, answerer: Callable[..., Any]
) -> None:
    model = answerer("image", well_said, batch_size=7)
    answers = ask(world, model, "image")
    expected = [
        well_said(name, doc)
        for one in world.of("image")
        for name, task in world.tasks[one.name].items()
        for doc in task.eval_docs_no_media
    ]
    assert answers == expected
    assert max(size for size, *_ in model.vlm.batches) == 7
    # MME allows 16 new tokens, POPE 128, MMBench 1024 and stops at another speaker; MMStar says nothing.
    # lmms-eval's own "\n\n", for those that set no stop, is none: a verbose answer has several paragraphs.
    assert {limits for _, *limits_list in model.vlm.batches for limits in [tuple(limits_list)]} == {
        (16, ()),
        (128, ()),
        (1024, ("ASSISTANT:",)),
    }


def test_a_video_is_shown_as_its_frames_in_the_store(world: World, answerer: Callable[..., Any]) -> None:
    model = answerer("video", well_said)
    ask(world, model, "video")
    clips = [example.media for example in model.vlm.examples]
    assert all(isinstance(clip, Clip) and len(clip) == FRAMES for clip in clips)
    shown = {entry.cluster for entry in model.shown.values()}
    assert shown == FrameStore(world.store).videos


@pytest.mark.parametrize("size", [2, 5, 32])
def test_questions_about_one_video_share_it_within_a_batch(
    world: World, answerer: Callable[..., Any], size: int
) -> None:
    model = answerer("video", well_said, batch_size=size)
    ask(world, model, "video")
    examples, read = list(model.vlm.examples), 0
    groups: Counter[Any] = Counter()
    for n, *ends in model.vlm.batches:
        batch, examples = examples[:n], examples[n:]
        read += len({id(example.media) for example in batch})
        groups.update((_content(example.media), tuple(ends)) for example in batch)
    fewest = sum(math.ceil(n / size) for n in groups.values())
    assert fewest <= read <= (fewest if size == 32 else 1.3 * fewest)
    assert read < len(model.vlm.examples)


def _content(clip: Clip) -> bytes:
    return clip.frames.tobytes()


def test_the_last_frame_is_shown_to_the_tasks_that_ask_for_it(world: World, answerer: Callable[..., Any]) -> None:
    named = world.settings["video_mmmu"].tasks
    plain = answerer("video", well_said)
    ask(world, plain, "video")
    model = answerer("video", well_said, last_frame=named)
    ask(world, model, "video")
    for (task, _), before, after in zip(model.vlm.asked, plain.vlm.examples, model.vlm.examples, strict=True):
        assert len(after.media) == FRAMES
        assert (after.media.timestamps_s[:-1] == before.media.timestamps_s[:-1]).all()
        assert (after.media.timestamps_s[-1] > before.media.timestamps_s[-1]) == (task in named)


@pytest.mark.parametrize("suite", ["image", "video"])
def test_blind_is_as_many_grey_pictures_of_the_same_size(
    world: World, answerer: Callable[..., Any], suite: str
) -> None:
    seeing, blind = answerer(suite, well_said), None
    ask(world, seeing, suite)
    blind = answerer(suite, well_said, blind=True)
    ask(world, blind, suite)
    assert blind.shown == seeing.shown
    for sight, grey in zip(seeing.vlm.examples, blind.vlm.examples, strict=True):
        assert grey.turns == sight.turns
        if isinstance(sight.media, Clip):
            assert grey.media.frames.shape == sight.media.frames.shape
            assert (grey.media.frames == 128).all()
            assert (grey.media.timestamps_s == sight.media.timestamps_s).all()
        else:
            assert [image.size for image in grey.media] == [image.size for image in sight.media]
            assert all((np.asarray(image) == 128).all() for image in grey.media)


def test_a_question_may_show_several_images(world: World, answerer: Callable[..., Any]) -> None:
    model = answerer("image", lambda task, doc: "A")
    task = world.tasks["mmstar"]["mini_mmstar"]
    pictures = [Image.new("RGB", (64, 64)), Image.new("L", (32, 48))]
    several = SimpleNamespace(
        config=task.config,
        dataset=task.dataset,
        eval_docs_no_media=task.eval_docs_no_media,
        doc_to_visual=lambda doc: pictures,
    )
    model.tasks["mini_mmstar"] = several
    request = SimpleNamespace(args=("Which?", {}, None, 0, "mini_mmstar", "val"))
    assert model.generate_until([request]) == ["A"]
    assert [image.size for image in model.vlm.examples[-1].media] == [(64, 64), (32, 48)]
    assert model.shown["mini_mmstar", 0].frames == 2


def test_videos_are_listed_by_their_paths_below_the_root(world: World) -> None:
    for one in world.of("video"):
        listed = media.videos(world.tasks[one.name].values())
        assert listed == sorted(set(listed))
        assert all((world.root / video).is_file() for video in listed)
    assert len(media.videos(task for one in world.of("video") for task in world.tasks[one.name].values())) == len(
        FrameStore(world.store).videos
    )


@pytest.mark.parametrize("name", ["videomme", "mvbench", "tempcompass", "video_mmmu"])
def test_a_missing_video_is_named(world: World, name: str) -> None:
    own = world.tasks[name]
    first, second = media.videos(own.values())[:2]
    # Not in the store: quarantined, or never decoded.
    store: Any = SimpleNamespace(videos=FrameStore(world.store).videos - {first, second})
    with pytest.raises(InputError, match=f"2 videos are not in the frame store.*{first}, {second}"):
        evaluate.check_videos(name, own, store)
    # Not on disk.
    away = world.root / f"{first}.away"
    os.replace(world.root / first, away)
    try:
        with pytest.raises(InputError, match=Path(first).name):
            media.videos(own.values())
    finally:
        os.replace(away, world.root / first)


def test_a_task_that_is_unknown_or_of_another_size_is_an_error(world: World) -> None:
    mme = world.settings["mme"]
    with pytest.raises(InputError, match="'mini_mmee'"):
        tasks.load_tasks([mme.model_copy(update={"tasks": ("mini_mmee",)})], world.root / "tasks")
    with pytest.raises(InputError, match="mme holds 24 questions; its settings say 2374"):
        tasks.load_tasks([mme.model_copy(update={"questions": 2374})], world.root / "tasks")


def test_a_judge_is_an_error_not_a_wait() -> None:
    import requests

    def judged() -> None:
        try:
            requests.post("http://127.0.0.1:9/v1/chat/completions", timeout=1)
        except Exception:  # as upstream does, around its retries
            judged()

    with pytest.raises(InputError, match="judge"), tasks.no_network():
        judged()
