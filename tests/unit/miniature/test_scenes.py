"""The scenes, what is asked about them, and the budgets that follow from how they were made."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from workflow_scripts.miniature.evidence import BUDGETS, Window, minimal_budget
from workflow_scripts.miniature.question import YES_NO, Question
from workflow_scripts.miniature.questions import caption, event_questions, image_questions, video_questions
from workflow_scripts.miniature.records import HINTS, conversations, multiple_choice, open_ended, video_exchanges
from workflow_scripts.miniature.render import RGB, object_box, render
from workflow_scripts.miniature.scene import EVENTS, draw_image_scene, draw_video_scene

MANY = range(600)


def test_a_scene_is_its_seed() -> None:
    assert draw_video_scene(7) == draw_video_scene(7)
    assert draw_video_scene(7) != draw_video_scene(8)
    assert np.array_equal(render(draw_video_scene(7), 3), render(draw_video_scene(7), 3))


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("event", [event for event in EVENTS if event != "disappearance"])
def test_an_event_needs_the_budget_it_was_drawn_for(event: str, budget: int) -> None:
    for seed in range(25):
        scene = draw_video_scene(seed, event=event, budget=budget, variable=seed % 3 == 0)
        assert {question.budget for question in event_questions(scene)} == {budget}


def visible_frames(scene, thing) -> set[int]:
    """Frames in which the picture differs from the one without the thing: found by looking, not from the windows."""
    from dataclasses import replace

    without = replace(scene, things=tuple(other for other in scene.things if other is not thing))
    return {i for i in range(scene.n_frames) if not np.array_equal(render(scene, i), render(without, i))}


def test_the_minimal_budget_is_the_smallest_whose_frames_show_the_visitor() -> None:
    for seed in range(40):
        scene = draw_video_scene(seed, event="appearance", budget=BUDGETS[seed % 4])
        seen = visible_frames(scene, scene.visitors[0])
        shows = [b for b in BUDGETS if seen & {i * scene.n_frames // b for i in range(b)}]
        assert event_questions(scene)[0].budget == min(shows)
        assert shows == [b for b in BUDGETS if b >= min(shows)]


def count_flashes(brightness: np.ndarray, frames: int) -> int:
    """Runs of bright frames among ``frames`` uniform ones."""
    bright = brightness[[i * len(brightness) // frames for i in range(frames)]] > 150
    return int(bright[0]) + int(np.sum(bright[1:] & ~bright[:-1]))


def test_flashes_are_counted_right_from_their_budget_on_and_wrong_below() -> None:
    for seed in range(40):
        budget = BUDGETS[1 + seed % 3]
        scene = draw_video_scene(seed, event="flashes", budget=budget)
        brightness = np.array([render(scene, i).mean() for i in range(scene.n_frames)])

        truth = int(event_questions(scene)[0].answer)
        assert {count_flashes(brightness, b) for b in BUDGETS if b >= budget} == {truth}
        assert count_flashes(brightness, budget // 2) == 0


def test_a_mover_moves_the_way_the_answer_says() -> None:
    for seed in range(40):
        scene = draw_video_scene(seed, event="direction", budget=BUDGETS[seed % 4])
        [mover] = scene.visitors
        assert mover.window
        frames = [i * scene.n_frames // 64 for i in range(64)]
        seen = [object_box(mover, i) for i in frames if mover.window.start <= i < mover.window.stop]
        dx, dy = seen[-1][0] - seen[0][0], seen[-1][1] - seen[0][1]
        direction = ("right" if dx > 0 else "left") if abs(dx) > abs(dy) else ("down" if dy > 0 else "up")
        assert direction == scene.direction


def test_a_window_no_budget_shows_is_refused() -> None:
    assert minimal_budget([Window(0, 1)], 640) == 8
    with pytest.raises(ValueError, match="no budget"):
        minimal_budget([Window(1, 2)], 640)


def all_questions(media: str) -> list[Question]:
    if media == "image":
        return [q for seed in MANY for q in image_questions(draw_image_scene(seed))]
    return [q for seed in MANY for q in video_questions(draw_video_scene(seed))]


@pytest.mark.parametrize("media", ["image", "video"])
def test_options_hold_the_answer_once_and_give_nothing_away(media: str) -> None:
    by_ability: dict[str, list[Question]] = defaultdict(list)
    for question in all_questions(media):
        assert len(set(question.options)) == len(question.options) in (2, 4)
        assert question.options.count(question.answer) == 1
        by_ability[question.ability].append(question)
    for ability, questions in by_ability.items():
        choices = [q for q in questions if q.options != YES_NO]
        places = Counter(q.options.index(q.answer) for q in choices)
        for place in range(4):
            expected = len(choices) / 4
            assert abs(places[place] - expected) < 4.5 * (expected * 0.75) ** 0.5 + 1, (ability, places)
        # The best that a constant answer earns, over every question of one text, stays near chance.
        answers = Counter(q.answer for q in choices)
        if choices:
            assert max(answers.values()) / len(choices) < 0.36, (ability, answers)
        yes_no = Counter(q.answer for q in questions if q.options == YES_NO)
        if yes_no:
            assert abs(yes_no["yes"] / yes_no.total() - 0.5) < 0.12, (ability, yes_no)


def test_the_color_that_is_asked_for_is_in_the_picture() -> None:
    for seed in range(60):
        scene = draw_image_scene(seed)
        picture = render(scene).astype(int)
        for question in image_questions(scene):
            if question.ability == "color":
                distance = np.abs(picture - np.array(RGB[question.answer])).sum(-1)
                assert (distance < 12).sum() > 15


def test_yes_no_form() -> None:
    import random

    question = next(q for q in all_questions("image") if q.ability == "color")
    yes, no = (question.as_yes_no(truth, random.Random(0)) for truth in (True, False))
    assert (yes.answer, no.answer) == ("yes", "no")
    assert question.answer in yes.text
    assert question.answer not in no.text
    with pytest.raises(ValueError, match="no yes/no form"):
        yes.as_yes_no(True, random.Random(0))


def test_records_are_worded_like_the_real_ones() -> None:
    scene = draw_video_scene(3, event="order")
    question = event_questions(scene)[0]
    full, letter = multiple_choice(question, True), multiple_choice(question, False)
    assert full.human.startswith(question.text + "\nA. ")
    assert full.human.endswith("the letter followed by the full option.")
    assert full.gpt[1:3] == ". "
    assert full.gpt[3:-1] == question.answer
    assert letter.gpt in ("A.", "B.", "C.", "D.")
    assert open_ended(question).gpt == question.claim.format(question.answer)
    turns = conversations([full, letter])
    assert [turn["from"] for turn in turns] == ["human", "gpt", "human", "gpt"]
    assert [turn["value"].count("<image>") for turn in turns] == [1, 0, 0, 0]


def test_a_record_needs_the_most_that_any_of_its_turns_needs() -> None:
    mixed = 0
    for seed in MANY:
        scene = draw_video_scene(seed)
        for kind in ("caption", "open_ended", "multiple_choice"):
            exchanges = video_exchanges(scene, kind)
            assert exchanges
            mixed += len({exchange.budget for exchange in exchanges}) > 1
        assert caption(scene)[1] == max(q.budget for q in event_questions(scene))
    assert mixed > 50


def test_most_instructions_about_a_brief_event_say_how_brief_it_is() -> None:
    said = {16: 0, 32: 0, 64: 0}
    for seed in range(300):
        scene = draw_video_scene(seed, event="appearance", budget=(16, 32, 64)[seed % 3])
        [exchange] = video_exchanges(scene, "caption")
        said[exchange.budget] += HINTS[exchange.budget] in exchange.human
        assert not any(HINTS[budget] in exchange.human for budget in HINTS if budget != exchange.budget)
    assert all(60 <= count <= 80 for count in said.values())
    for seed in range(50):
        [exchange] = video_exchanges(draw_video_scene(seed, event="appearance", budget=8), "caption")
        assert not any(hint in exchange.human for hint in HINTS.values())
