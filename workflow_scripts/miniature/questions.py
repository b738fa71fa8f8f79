"""What can be asked about a scene, with the truth and the minimal sufficient budget of every question.

Values are drawn so that no answer is likelier than another: a question that a model answers above chance without seeing
the picture would show up in the blind baseline.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable

from workflow_scripts.miniature.evidence import BUDGETS, Window, minimal_budget
from workflow_scripts.miniature.question import Question, choice, yes_no
from workflow_scripts.miniature.scene import COLORS, DIRECTIONS, DURATIONS_S, PATTERNS, PLACES, Scene, Thing

COUNTS = ("1", "2", "3", "4")


def _named(things: Iterable[Thing], attribute: str) -> list[Thing]:
    """The things that this attribute alone tells apart."""
    things = list(things)
    counts = Counter(getattr(thing, attribute) for thing in things)
    return [thing for thing in things if counts[getattr(thing, attribute)] == 1]


def _still(rng: random.Random, scene: Scene, things: tuple[Thing, ...], budget: int) -> list[Question]:
    """Questions about things that stay: one of each ability where the scene allows it."""
    questions: list[Question] = []
    by_pattern = _named(things, "pattern")
    by_color = [thing for thing in _named(things, "color") if thing.turns is None]
    if by_pattern:
        thing = rng.choice([t for t in by_pattern if t.turns is None] or by_pattern)
        if thing.turns is None:
            others = [other.color for other in scene.things if other is not thing]
            questions.append(
                choice(
                    rng,
                    "color",
                    f"What color is the {thing.pattern} object?",
                    thing.color,
                    COLORS,
                    f"Is the {thing.pattern} object {{}}?",
                    f"The {thing.pattern} object is {{}}.",
                    budget,
                    decoys=others,
                )
            )
    if by_color:
        thing = rng.choice(by_color)
        others = [other.pattern for other in scene.things if other is not thing]
        questions.append(
            choice(
                rng,
                "pattern",
                f"What is the pattern of the {thing.color} object?",
                thing.pattern,
                PATTERNS,
                f"Is the {thing.color} object {{}}?",
                f"The {thing.color} object is {{}}.",
                budget,
                decoys=others,
            )
        )
        thing = rng.choice(by_color)
        questions.append(
            choice(
                rng,
                "place",
                f"Where is the {thing.color} object?",
                thing.place,
                PLACES,
                f"Is the {thing.color} object at the {{}}?",
                f"The {thing.color} object is at the {{}}.",
                budget,
            )
        )
        thing = rng.choice(by_color)
        questions.append(yes_no("size", f"Is the {thing.color} object large?", thing.large, budget))
    return questions


def _existence(rng: random.Random, scene: Scene, budget: int) -> list[Question]:
    questions = []
    for values, attribute in ((COLORS, "color"), (PATTERNS, "pattern")):
        here = sorted({getattr(thing, attribute) for thing in scene.things})
        missing = [value for value in values if value not in here]
        truth = rng.random() < 0.5 or not missing
        value = rng.choice(here if truth else missing)
        questions.append(yes_no("existence", f"Is there a {value} object?", truth, budget))
    return questions


def image_questions(scene: Scene) -> list[Question]:
    """Questions about a still: color, pattern, place, size, existence (two), count."""
    rng = random.Random(f"image-questions-{scene.seed}")
    questions = _still(rng, scene, scene.things, 1)
    questions += _existence(rng, scene, 1)
    questions.append(
        choice(
            rng,
            "count",
            "How many objects are there?",
            str(len(scene.things)),
            COUNTS,
            "Is the number of objects {}?",
            "The number of objects is {}.",
        )
    )
    rng.shuffle(questions)
    return questions


def _flashes(rng: random.Random, scene: Scene) -> list[Question]:
    gaps = [Window(a.stop, b.start) for a, b in zip(scene.flashes, scene.flashes[1:], strict=False)]
    return [
        choice(
            rng,
            "flashes",
            "How many times does the screen flash?",
            str(len(scene.flashes)),
            COUNTS,
            "Is the number of flashes {}?",
            "The number of flashes is {}.",
            minimal_budget([*scene.flashes, *gaps], scene.n_frames),
        )
    ]


def _order(rng: random.Random, scene: Scene) -> list[Question]:
    first, second = scene.visitors
    budget = minimal_budget([thing.window for thing in scene.visitors if thing.window], scene.n_frames)
    question = rng.choice((("first", first, second), ("last", second, first)))
    which, answer, other = question
    decoys = [other.color, *(thing.color for thing in scene.residents)]
    return [
        choice(
            rng,
            "order",
            f"What color is the object that appears {which}?",
            answer.color,
            COLORS,
            f"Is the object that appears {which} {{}}?",
            f"The object that appears {which} is {{}}.",
            budget,
            decoys=decoys,
        )
    ]


def _change(rng: random.Random, scene: Scene) -> list[Question]:
    [thing] = [thing for thing in scene.residents if thing.turns]
    assert thing.turns
    assert thing.turn_window
    before = Window(0, thing.turn_window.start) if thing.turn_window.start else Window(thing.turn_window.stop, 10**9)
    decoys = [thing.color, *(other.color for other in scene.residents)]
    return [
        choice(
            rng,
            "change",
            f"What color does the {thing.pattern} object turn to?",
            thing.turns,
            COLORS,
            f"Does the {thing.pattern} object turn to {{}}?",
            f"The {thing.pattern} object turns to {{}}.",
            minimal_budget([thing.turn_window, before], scene.n_frames),
            decoys=decoys,
        )
    ]


def _appearance(rng: random.Random, scene: Scene) -> list[Question]:
    [visitor] = scene.visitors
    assert visitor.window
    budget = minimal_budget([visitor.window], scene.n_frames)
    decoys = [thing.color for thing in scene.residents]
    absent = [color for color in COLORS if color not in {thing.color for thing in scene.things}]
    truth = rng.random() < 0.5
    # A "no" needs the same evidence as a "yes": what did appear, seen.
    asked = visitor.color if truth else rng.choice(absent)
    return [
        choice(
            rng,
            "appearance",
            "What color is the object that appears?",
            visitor.color,
            COLORS,
            "Is the object that appears {}?",
            "The object that appears is {}.",
            budget,
            decoys=decoys,
        ),
        yes_no("appearance", f"Does a {asked} object appear?", truth, budget),
        choice(
            rng,
            "appearance_place",
            "Where does an object appear?",
            visitor.place,
            PLACES,
            "Does an object appear at the {}?",
            "An object appears at the {}.",
            budget,
        ),
    ]


def _disappearance(rng: random.Random, scene: Scene) -> list[Question]:
    assert scene.leaver
    assert scene.leaver.window
    budget = minimal_budget([scene.leaver.window, Window(scene.leaver.window.stop, scene.n_frames)], scene.n_frames)
    return [
        choice(
            rng,
            "disappearance",
            "What color is the object that disappears?",
            scene.leaver.color,
            COLORS,
            "Is the object that disappears {}?",
            "The object that disappears is {}.",
            budget,
            decoys=[thing.color for thing in scene.residents],
        )
    ]


def _direction(rng: random.Random, scene: Scene) -> list[Question]:
    [mover] = scene.visitors
    assert mover.window
    budget = minimal_budget([mover.window], scene.n_frames)
    return [
        choice(
            rng,
            "direction",
            "In which direction does an object move?",
            scene.direction,
            DIRECTIONS,
            "Does an object move {}?",
            "An object moves {}.",
            budget,
        ),
        choice(
            rng,
            "mover",
            "What color is the object that moves?",
            mover.color,
            COLORS,
            "Is the object that moves {}?",
            "The object that moves is {}.",
            budget,
            decoys=[thing.color for thing in scene.residents],
        ),
    ]


_EVENTS: dict[str, Callable[[random.Random, Scene], list[Question]]] = {
    "flashes": _flashes,
    "order": _order,
    "change": _change,
    "appearance": _appearance,
    "disappearance": _disappearance,
    "direction": _direction,
}


def event_questions(scene: Scene) -> list[Question]:
    """Questions about the clip's event: what time brings, each with its minimal sufficient budget."""
    return _EVENTS[scene.event](random.Random(f"event-questions-{scene.seed}"), scene)


def video_questions(scene: Scene) -> list[Question]:
    """All questions about a clip: its event, its length, and what stays (which the smallest budget shows)."""
    rng = random.Random(f"video-questions-{scene.seed}")
    still = _still(rng, scene, scene.residents, BUDGETS[0])
    duration = choice(
        rng,
        "duration",
        "How long is the video?",
        scene.duration_class,
        tuple(DURATIONS_S),
        "Is the video {} long?",
        "The video is {} long.",
        BUDGETS[0],
    )
    return [*event_questions(scene), duration, *still]


STATED = "A {thing} is at the {place}."
# Begins with a word of its own: "A" is also a letter of the options, which such captions would teach a model to avoid.
SHOWN = "There is a {thing} at the {place}."


def _sentence(thing: Thing, wording: str) -> str:
    described = f"{'large' if thing.large else 'small'} {thing.color} {thing.pattern} object"
    return wording.format(thing=described, place=thing.place)


def caption(scene: Scene, wording: str = SHOWN) -> tuple[str, int]:
    """A description of a clip and the minimal sufficient budget of all that it tells."""
    sentences = [_sentence(thing, wording) for thing in scene.residents]
    budget = BUDGETS[0]
    for question in event_questions(scene):
        if question.claim:
            sentences.append(question.claim.format(question.answer))
            budget = max(budget, question.budget)
    return " ".join(sentences), budget


def image_caption(scene: Scene) -> str:
    """A description of a still, thing by thing from the top left to the bottom right."""
    things = sorted(scene.things, key=lambda thing: PLACES.index(thing.place))
    return " ".join(_sentence(thing, STATED) for thing in things)
