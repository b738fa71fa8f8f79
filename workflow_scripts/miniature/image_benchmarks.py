"""The four image benchmarks in miniature, in the row schemas of MME, MMStar, MMBench and POPE.

Categories are the upstream ones whose meaning fits what the scenes hold. MME has no cognition questions here: none of
its cognition categories can be asked of these pictures without testing arithmetic or knowledge that nothing teaches.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from workflow_scripts.miniature.question import Question
from workflow_scripts.miniature.questions import image_questions
from workflow_scripts.miniature.scene import COLORS, PATTERNS, Scene, draw_image_scene
from workflow_scripts.miniature.selection import VALUES, Share, parts, positions, seeds
from workflow_scripts.miniature.tables import Benchmark, Row, Table, image_cell
from workflow_scripts.miniature.wording import LETTERS, item

MME = {"existence": "existence", "count": "count", "position": "place", "color": "color"}
# l2_category: (category, ability, fewest and most objects in the picture)
MMSTAR = {
    "object counting": ("fine-grained perception", "count", 1, 4),
    "recognition": ("fine-grained perception", "pattern", 1, 4),
    "localization": ("fine-grained perception", "place", 1, 4),
    "single-instance reasoning": ("instance reasoning", "color", 1, 2),
    "cross-instance attribute reasoning": ("instance reasoning", "color", 3, 4),
    "cross-instance relation reasoning": ("instance reasoning", "place", 3, 4),
}
MMBENCH = {
    "color": "attribute_recognition",
    "pattern": "attribute_recognition",
    "place": "object_localization",
    "count": "object_localization",
}
# POPE's negatives grow harder from random to adversarial; here the number of objects in the picture does.
POPE = {"random": (1, 2), "popular": (3, 3), "adversarial": (4, 4)}


def _scenes(benchmark: int) -> Iterator[tuple[Scene, list[Question]]]:
    for seed in seeds(benchmark):
        scene = draw_image_scene(seed)
        yield scene, image_questions(scene)


def _chosen(
    scenes: Iterator[tuple[Scene, list[Question]]], ability: str, total: int, fewest: int = 1, most: int = 4
) -> Iterator[tuple[Scene, Question]]:
    """``total`` questions with four options of one ability, one a picture, answers balanced."""
    share = Share(total, VALUES[ability])
    while share.left:
        scene, questions = next(scenes)
        if not fewest <= len(scene.things) <= most:
            continue
        for question in questions:
            if question.ability == ability and not question.is_yes_no and share.wants(question.answer):
                share.take(question.answer)
                yield scene, question
                break


def _existence_pairs(
    scenes: Iterator[tuple[Scene, list[Question]]], total: int
) -> Iterator[tuple[Scene, list[Question]]]:
    """``total`` pictures with two existence questions, one answered yes and one no."""
    for _ in range(total):
        while True:
            scene, questions = next(scenes)
            pair = [question for question in questions if question.ability == "existence"]
            if {question.answer for question in pair} == {"yes", "no"}:
                yield scene, pair
                break


def mme(total: int, number: int) -> Benchmark:
    """Two questions a picture, one answered yes and one no."""
    rng = random.Random(f"mme-{number}")
    scenes = _scenes(number)
    rows: list[Row] = []
    for (category, ability), n in zip(MME.items(), parts(total // 2, len(MME)), strict=True):
        if ability == "existence":
            pairs = list(_existence_pairs(scenes, n))
        else:
            pairs = [
                (scene, [question.as_yes_no(truth, rng) for truth in (True, False)])
                for scene, question in _chosen(scenes, ability, n)
            ]
        for scene, pair in pairs:
            image = image_cell(scene)
            for question in pair:
                asked = item(question, "mme")
                rows.append(
                    {
                        "question_id": f"{category}/{scene.seed}.png",
                        "image": image,
                        "question": asked.question,
                        "answer": asked.answer,
                        "category": category,
                    }
                )
    return Benchmark("mme", (Table("mini_mme", "mme/mme.yaml", "test", rows),))


def mmstar(total: int, number: int) -> Benchmark:
    """Letters A to D, options inside the question."""
    rng = random.Random(f"mmstar-{number}")
    scenes = _scenes(number)
    rows: list[Row] = []
    for (detail, (category, ability, fewest, most)), n in zip(MMSTAR.items(), parts(total, len(MMSTAR)), strict=True):
        chosen = _chosen(scenes, ability, n, fewest, most)
        for (scene, question), position in zip(chosen, positions(rng, n, start=len(rows)), strict=True):
            asked = item(question, "mmstar", position)
            rows.append(
                {
                    "index": len(rows),
                    "question": asked.question,
                    "image": image_cell(scene),
                    "answer": asked.answer,
                    "category": category,
                    "l2_category": detail,
                    "meta_info": {"source": "miniature", "split": "val", "image_path": f"{scene.seed}.png"},
                }
            )
    return Benchmark("mmstar", (Table("mini_mmstar", "mmstar/mmstar.yaml", "val", rows),))


def mmbench(total: int, number: int) -> Benchmark:
    """Letters A to D, options in columns."""
    rng = random.Random(f"mmbench-{number}")
    scenes = _scenes(number)
    rows: list[Row] = []
    for (ability, category), n in zip(MMBENCH.items(), parts(total, len(MMBENCH)), strict=True):
        chosen = _chosen(scenes, ability, n)
        for (scene, question), position in zip(chosen, positions(rng, n, start=len(rows)), strict=True):
            asked = item(question, "mmbench", position)
            rows.append(
                {
                    "index": len(rows),
                    "question": asked.question,
                    "hint": "nan",
                    "answer": asked.answer,
                    **dict(zip(LETTERS, asked.options, strict=True)),
                    "category": category,
                    "image": image_cell(scene),
                    "source": "miniature",
                    "L2-category": "finegrained_perception (instance-level)",
                    "comment": "nan",
                    "split": "dev",
                }
            )
    return Benchmark("mmbench", (Table("mini_mmbench", "mmbench/mmbench_en_dev_static.yaml", "dev", rows),))


def pope(total: int, number: int) -> Benchmark:
    """Is it there? Yes and no equally often in every category, and for every colour and pattern asked for."""
    scenes = _scenes(number)
    rows: list[Row] = []
    asked_for: dict[str, Share] = {truth: Share(total, len(COLORS) + len(PATTERNS)) for truth in ("yes", "no")}
    for (category, (fewest, most)), n in zip(POPE.items(), parts(total, len(POPE)), strict=True):
        share = Share(n, 2)
        while share.left:
            scene, questions = next(scenes)
            if not fewest <= len(scene.things) <= most:
                continue
            image = image_cell(scene)
            for question in questions:
                if question.ability != "existence" or not share.wants(question.answer):
                    continue
                if not asked_for[question.answer].wants(question.text):
                    continue
                share.take(question.answer)
                asked_for[question.answer].take(question.text)
                rows.append(
                    {
                        "id": str(len(rows)),
                        "question_id": str(len(rows)),
                        "question": item(question, "pope").question,
                        "answer": question.answer,
                        "image_source": f"miniature_{scene.seed}",
                        "image": image,
                        "category": category,
                    }
                )
    return Benchmark("pope", (Table("mini_pope", "pope/pope.yaml", "test", rows),))
