"""The four video benchmarks in miniature, in the row schemas of Video-MME, MVBench, TempCompass and Video-MMMU.

Every clip has one event; events, sources and minimal sufficient budgets (8 to 64 frames) come in turn, so that each is
about equally frequent. Categories are the upstream ones whose meaning fits. Video-MMMU's open-ended questions and
TempCompass's captions, which a judge scores, are left out, as is TempCompass's `speed`: nothing here differs by it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

from workflow_scripts.miniature.question import Question
from workflow_scripts.miniature.questions import event_questions, video_questions
from workflow_scripts.miniature.scene import BUDGETS, EVENTS, SOURCES, Scene, draw_video_scene
from workflow_scripts.miniature.selection import VALUES, Share, parts, positions, seeds
from workflow_scripts.miniature.tables import Benchmark, Row, Table
from workflow_scripts.miniature.wording import LETTERS, item

OTHERS = ("color", "pattern", "place", "duration")
VIDEOMME_TASK_TYPES = {
    "color": "Attribute Perception",
    "pattern": "Attribute Perception",
    "place": "Spatial Perception",
    "flashes": "Counting Problem",
    "order": "Temporal Reasoning",
    "change": "Temporal Perception",
    "appearance": "Object Recognition",
    "disappearance": "Object Reasoning",
    "direction": "Action Recognition",
    "duration": "Temporal Perception",
}
LENGTHS = {"5 seconds": "short", "10 seconds": "medium", "20 seconds": "medium", "40 seconds": "long"}
# sub-task: (event, ability, folder below mvbench_video)
MVBENCH = {
    "moving_direction": ("direction", "direction", "clevrer/video_validation"),
    "moving_attribute": ("direction", "mover", "clevrer/video_validation"),
    "object_existence": ("appearance", "appearance", "clevrer/video_validation"),
    "action_count": ("flashes", "flashes", "perception/videos"),
    "state_change": ("change", "change", "perception/videos"),
    "character_order": ("order", "order", "perception/videos"),
}
TEMPCOMPASS_DIMS = {
    "direction": ("direction",),
    "order": ("order",),
    "attribute_change": ("change",),
    "action": ("appearance", "disappearance", "flashes"),
}
TEMPCOMPASS_FORMATS = {
    "multi_choice": "tempcompass/tempcompass_mc.yaml",
    "yes_no": "tempcompass/tempcompass_yes_no.yaml",
    "caption_matching": "tempcompass/tempcompass_caption_matching.yaml",
}
VIDEOMMMU_TRACKS = ("perception", "comprehension", "adaptation")
# A subject of each of Video-MMMU's disciplines, and the folder of its videos.
VIDEOMMMU_SUBJECTS = {
    "Music": "Art",
    "Biology": "Science",
    "History": "Humanities",
    "Electronics": "Engineering",
    "Pharmacy": "Medicine",
    "Finance": "Business",
}


def _clips(benchmark: int, rng: random.Random) -> Callable[[str], Scene]:
    """Draws the benchmark's next clip with a given event; sources and budgets come in turn."""
    numbers = seeds(benchmark)
    turns = {event: itertools.cycle(itertools.product(BUDGETS, SOURCES)) for event in EVENTS}

    def draw(event: str) -> Scene:
        budget, source = next(turns[event])
        return draw_video_scene(next(numbers), source, event=event, budget=budget, variable=rng.random() < 0.15)

    return draw


def _ask(scene: Scene, ability: str, yes_no: bool = False) -> Question | None:
    """The clip's question of an ability: with four options, or as it stands a yes/no question."""
    questions = video_questions(scene)
    return next((q for q in questions if q.ability == ability and q.is_yes_no == yes_no), None)


def _event(scene: Scene) -> Question:
    """The question about the clip's event that is named after it, with four options."""
    return next(q for q in event_questions(scene) if q.ability == scene.event and not q.is_yes_no)


def _suffix(index: int) -> str:
    """Every tenth video is VP9 in Matroska."""
    return ".mkv" if index % 10 == 9 else ".mp4"


def _letters(rng: random.Random, abilities: list[str]) -> Iterator[int]:
    """Positions of the right option, balanced within each ability, in the order of the questions."""
    each: dict[str, Iterator[int]] = {}
    start = 0
    for ability in dict.fromkeys(abilities):
        n = abilities.count(ability)
        each[ability] = iter(positions(rng, n, start=start))
        start += n
    return (next(each[ability]) for ability in abilities)


def _triples(number: int, total: int, rng: random.Random) -> Iterator[tuple[Scene, list[Question]]]:
    """``total`` clips with three questions each: about the event, and two others of different abilities."""
    draw = _clips(number, rng)
    events = {event: Share(n, VALUES[event]) for event, n in zip(EVENTS, parts(total, len(EVENTS)), strict=True)}
    others = {ability: Share(n, VALUES[ability]) for ability, n in zip(OTHERS, parts(2 * total, 4), strict=True)}
    for _ in range(total):
        event = max(events, key=lambda name: events[name].left)
        first, last = sorted(others, key=lambda name: others[name].left, reverse=True)[:2]
        shares = [others[first], events[event], others[last]]
        while True:
            scene = draw(event)
            asked = [_ask(scene, first), _event(scene), _ask(scene, last)]
            questions = [q for q, share in zip(asked, shares, strict=True) if q is not None and share.wants(q.answer)]
            if len(questions) == len(shares):
                break
        for question, share in zip(questions, shares, strict=True):
            share.take(question.answer)
        yield scene, questions


def videomme(total: int, number: int) -> Benchmark:
    """Three questions a video, letters A to D."""
    rng = random.Random(f"videomme-{number}")
    drawn = list(_triples(number, -(-total // 3), rng))
    flat = [(index, scene, q) for index, (scene, questions) in enumerate(drawn) for q in questions][:total]
    rows: list[Row] = []
    for (index, scene, question), position in zip(flat, _letters(rng, [q.ability for _, _, q in flat]), strict=True):
        asked = item(question, "videomme", position)
        rows.append(
            {
                "video_id": f"{index:03d}",
                "duration": LENGTHS[scene.duration_class],
                "domain": "Life Record",
                "sub_category": "Daily Life",
                "url": f"miniature:{scene.seed}",
                "videoID": f"mini{scene.seed}",
                "question_id": f"{index:03d}-{sum(row['video_id'] == f'{index:03d}' for row in rows) + 1}",
                "task_type": VIDEOMME_TASK_TYPES[question.ability],
                "question": asked.question,
                "options": [f"{letter}. {option}" for letter, option in zip(LETTERS, asked.options, strict=True)],
                "answer": asked.answer,
            }
        )
    videos = {f"videomme/data/mini{scene.seed}{_suffix(index)}": scene for index, (scene, _) in enumerate(drawn)}
    return Benchmark("videomme", (Table("mini_videomme", "videomme/videomme.yaml", "test", rows),), videos)


def mvbench(total: int, number: int) -> Benchmark:
    """Six of the sub-tasks; candidates without letters, the answer by value."""
    rng = random.Random(f"mvbench-{number}")
    draw = _clips(number, rng)
    tables = []
    videos: dict[str, Scene] = {}
    passages: Iterator[Scene] = iter(())
    for (name, (event, ability, folder)), n in zip(MVBENCH.items(), parts(total, len(MVBENCH)), strict=True):
        yes_no = name == "object_existence"
        share = Share(n, 2 if yes_no else VALUES[ability])
        # "yes" and "no" keep their order: what is balanced then is how often each is right.
        letters = [None] * n if yes_no else positions(rng, n)
        rows: list[Row] = []
        while share.left:
            # The clips of moving_direction serve moving_attribute too, as far as their answers balance.
            scene = next(passages, None) if name == "moving_attribute" else None
            scene = scene or draw(event)
            question = _ask(scene, ability, yes_no)
            if question is None or not share.wants(question.answer):
                continue
            share.take(question.answer)
            path = f"mvbench_video/{folder}/video_{scene.seed}{_suffix(scene.seed)}"
            videos[path] = scene
            asked = item(question, "mvbench", letters[len(rows)])
            rows.append(
                {
                    "video": path.rsplit("/", 1)[1],
                    "question": asked.question,
                    "candidates": list(asked.options),
                    "answer": question.answer,
                }
            )
        if name == "moving_direction":
            passages = iter(list(videos.values()))
        tables.append(Table(f"mini_mvbench_{name}", f"mvbench/mvbench_{name}.yaml", "train", rows))
    return Benchmark("mvbench", tuple(tables), videos)


def tempcompass(total: int, number: int) -> Benchmark:
    """One question a video, asked in three formats: by letters, as a yes/no question, and as two captions."""
    rng = random.Random(f"tempcompass-{number}")
    draw = _clips(number, rng)
    n_formats = dict(zip(TEMPCOMPASS_FORMATS, parts(total, len(TEMPCOMPASS_FORMATS)), strict=True))
    n_videos = max(n_formats.values())
    asked_of: list[tuple[str, Scene, Question]] = []
    for (dim, events), n in zip(TEMPCOMPASS_DIMS.items(), parts(n_videos, len(TEMPCOMPASS_DIMS)), strict=True):
        for event, n_event in zip(events, parts(n, len(events)), strict=True):
            share = Share(n_event, VALUES[event])
            while share.left:
                scene = draw(event)
                question = _event(scene)
                if share.wants(question.answer):
                    share.take(question.answer)
                    asked_of.append((dim, scene, question))
    rng.shuffle(asked_of)
    letters = _letters(rng, [question.ability for _, _, question in asked_of])
    truths, places = positions(rng, n_videos, 2), positions(rng, n_videos, 2)
    rows: dict[str, list[Row]] = {name: [] for name in TEMPCOMPASS_FORMATS}
    videos: dict[str, Scene] = {}
    for index, ((dim, scene, question), letter) in enumerate(zip(asked_of, letters, strict=True)):
        video_id = f"mini{scene.seed}"
        videos[f"tempcompass/videos/{video_id}.mp4"] = scene
        choice = item(question, "tempcompass_multi_choice", letter)
        check = question.as_yes_no(truths[index] == 0, rng)
        captions = item(question, "tempcompass_caption_matching", places[index])
        right = places[index]
        cells = {
            "multi_choice": (choice.question, f"{choice.answer}. {question.answer}"),
            "yes_no": (item(check, "tempcompass_yes_no").question, check.answer),
            "caption_matching": (captions.question, f"Caption {captions.answer}: {captions.options[right]}"),
        }
        for name, (text, answer) in cells.items():
            if len(rows[name]) < n_formats[name]:
                rows[name].append({"video_id": video_id, "question": text, "answer": answer, "dim": dim})
    tables = tuple(
        Table(f"mini_tempcompass_{name}", upstream, "test", rows[name])
        for name, upstream in TEMPCOMPASS_FORMATS.items()
    )
    return Benchmark("tempcompass", tables, videos)


def video_mmmu(total: int, number: int) -> Benchmark:
    """Three questions a video, one a track; comprehension asks about the event."""
    rng = random.Random(f"video_mmmu-{number}")
    sizes = parts(total, len(VIDEOMMMU_TRACKS))
    drawn = list(_triples(number, sizes[0], rng))
    ids = []
    videos: dict[str, Scene] = {}
    for index, (scene, _) in enumerate(drawn):
        subject, folder = list(VIDEOMMMU_SUBJECTS.items())[index % len(VIDEOMMMU_SUBJECTS)]
        ids.append(f"validation_{subject}_{index + 1}")
        videos[f"video_mmmu/{folder}/{ids[-1]}.mp4"] = scene
    tables = []
    for place, (track, n) in enumerate(zip(VIDEOMMMU_TRACKS, sizes, strict=True)):
        questions = [questions[place] for _, questions in drawn][:n]
        rows: list[Row] = []
        letters = _letters(rng, [question.ability for question in questions])
        for video_id, question, letter in zip(ids, questions, letters, strict=False):
            asked = item(question, f"videommmu_{track}", letter)
            rows.append(
                {
                    "id": video_id,
                    "question": asked.question,
                    "options": list(asked.options),
                    "answer": asked.answer,
                    "question_type": "multiple-choice",
                    "link_selected": f"miniature:{video_id}",
                }
            )
        tables.append(Table(f"mini_video_mmmu_{track}", f"videommmu/{track}.yaml", "test", rows))
    return Benchmark("video_mmmu", tuple(tables), videos)
