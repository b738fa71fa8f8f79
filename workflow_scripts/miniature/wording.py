"""The wordings in which lmms-eval puts a question to a model, one a style.

A style is a task of the eight benchmarks. ``item`` gives the parts of a question in that style: what stands in the
benchmark's row, and the prompt that lmms-eval 0.7.3 builds of it with the task's default ``lmms_eval_specific_kwargs``.
The prompts here are written out, not computed by lmms-eval, so that models can be trained on them without it; a test
holds them equal to upstream's ``doc_to_text``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Form = Literal["letter", "yes_no", "caption"]


class Asked(Protocol):
    """What is needed of ``workflow_scripts.miniature.question.Question``."""

    @property
    def text(self) -> str: ...
    @property
    def answer(self) -> str: ...
    @property
    def options(self) -> tuple[str, ...]: ...
    @property
    def claim(self) -> str: ...


@dataclass(frozen=True)
class Item:
    """A question in one style.

    ``question`` is the row's question column. ``options`` are the values (captions for caption matching) in the order
    of their letters, empty for yes/no questions. ``answer`` is what a well-trained model says: a letter, Yes or No.
    ``prompt`` is the text beside the image or video.
    """

    style: str
    question: str
    options: tuple[str, ...]
    answer: str
    prompt: str


@dataclass(frozen=True)
class Style:
    """How one upstream task asks. ``question`` and ``prompt`` take the text and the options in letter order."""

    media: Literal["image", "video"]
    form: Form
    question: Callable[[str, Sequence[str]], str]
    prompt: Callable[[str, Sequence[str]], str]


LETTERS = "ABCD"
CAPTION_QUESTION = "Which caption matches the video better?"


def _plain(text: str, options: Sequence[str]) -> str:
    return text


def _lines(options: Sequence[str]) -> str:
    return "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))


def _with_lines(text: str, options: Sequence[str]) -> str:
    return f"{text}\n{_lines(options)}"


def _short_answer(text: str, options: Sequence[str]) -> str:
    return f"{text}\nAnswer the question using a single word or phrase."


def _mme_question(text: str, options: Sequence[str]) -> str:
    return f"{text} Please answer yes or no."


def _mmstar_question(text: str, options: Sequence[str]) -> str:
    return f"{text}\nOptions: " + ", ".join(
        f"{letter}: {option}" for letter, option in zip(LETTERS, options, strict=False)
    )


def _mmstar(text: str, options: Sequence[str]) -> str:
    return f"{_mmstar_question(text, options)}\nAnswer with the option's letter from the given choices directly"


def _mmbench(text: str, options: Sequence[str]) -> str:
    return (
        f"{text} There are several options:\n{_lines(options)}\n"
        "\nAnswer with the option's letter from the given choices directly."
    )


def _videomme(text: str, options: Sequence[str]) -> str:
    return (
        "Select the best answer to the following multiple-choice question based on the video and the subtitles. "
        "Respond with only the letter (A, B, C, or D) of the correct option.\n"
        f"{text}\n{_lines(options)}\n"
        "\nAnswer with the option's letter from the given choices directly."
    )


def _mvbench(text: str, options: Sequence[str]) -> str:
    lines = "".join(f"({letter}) {option}\n" for letter, option in zip(LETTERS, options, strict=False))
    return f"Question:{text}\nOption:\n{lines}Only give the best option.\n"


def _tempcompass_multi_choice(text: str, options: Sequence[str]) -> str:
    return f"{_with_lines(text, options)}\nPlease directly give the best option:"


def _tempcompass_yes_no(text: str, options: Sequence[str]) -> str:
    return f"{text}\nPlease answer yes or no:"


def _captions(text: str, options: Sequence[str]) -> str:
    lines = "\n".join(f"Caption {letter}: {option}" for letter, option in zip(LETTERS, options, strict=False))
    return f"{CAPTION_QUESTION}\n{lines}"


def _tempcompass_caption_matching(text: str, options: Sequence[str]) -> str:
    return f"{_captions(text, options)}\nPlease directly give the best option:"


def _videommmu(text: str, options: Sequence[str]) -> str:
    return f"{_with_lines(text, options)}\nPlease ignore the Quiz question in last frame of the video."


def _videommmu_adaptation(text: str, options: Sequence[str]) -> str:
    return (
        "You should watch and learn the video content. Then apply what you learned to answer the following "
        f"multi-choice question. The image for this question is at the end of the video.\n{_with_lines(text, options)}"
    )


STYLES: dict[str, Style] = {
    "mme": Style("image", "yes_no", _mme_question, _short_answer),
    "pope": Style("image", "yes_no", _plain, _short_answer),
    "mmstar": Style("image", "letter", _mmstar_question, _mmstar),
    "mmbench": Style("image", "letter", _plain, _mmbench),
    "videomme": Style("video", "letter", _plain, _videomme),
    "mvbench": Style("video", "letter", _plain, _mvbench),
    "tempcompass_multi_choice": Style("video", "letter", _with_lines, _tempcompass_multi_choice),
    "tempcompass_yes_no": Style("video", "yes_no", _plain, _tempcompass_yes_no),
    "tempcompass_caption_matching": Style("video", "caption", _captions, _tempcompass_caption_matching),
    "videommmu_perception": Style("video", "letter", _plain, _videommmu),
    "videommmu_comprehension": Style("video", "letter", _plain, _videommmu),
    "videommmu_adaptation": Style("video", "letter", _plain, _videommmu_adaptation),
}


def suits(question: Asked, style: str) -> bool:
    """Whether the question can be asked in the style.

    Yes/no styles want a yes/no question (``Question.as_yes_no`` makes one of a question with four options); letters and
    captions want a question with four options, MVBench also takes a yes/no question as two options.
    """
    form = STYLES[style].form
    yes_no = question.options == ("yes", "no")
    if form == "yes_no":
        return yes_no
    if form == "letter":
        return not yes_no or style == "mvbench"
    return not yes_no and bool(question.claim)


def styles(question: Asked, media: Literal["image", "video"]) -> list[str]:
    """The styles of one kind of media in which the question can be asked."""
    return [name for name, style in STYLES.items() if style.media == media and suits(question, name)]


def item(question: Asked, style: str, position: int | None = None) -> Item:
    """The question in one style.

    ``position`` is where the right option stands (0 is A); the others keep their order. Without it the options stay as
    ``question.options`` has them. Of the wrong values, caption matching shows the first. Raises ValueError for a style
    that does not suit the question.
    """
    if not suits(question, style):
        raise ValueError(f"question {question.text!r} cannot be asked in the style {style!r}")
    how = STYLES[style]
    if how.form == "yes_no":
        return Item(
            style, how.question(question.text, ()), (), question.answer.capitalize(), how.prompt(question.text, ())
        )
    options = list(question.options)
    if how.form == "caption":
        foil = next(option for option in options if option != question.answer)
        options = [option for option in options if option in (question.answer, foil)]
    if position is not None:
        options.remove(question.answer)
        options.insert(position, question.answer)
    answer = LETTERS[options.index(question.answer)]
    if how.form == "caption":
        options = [question.claim.format(option) for option in options]
    return Item(style, how.question(question.text, options), tuple(options), answer, how.prompt(question.text, options))


def render(question: Asked, style: str, position: int | None = None) -> tuple[str, str]:
    """(prompt, answer) as lmms-eval's task will ask and score it. See ``item``."""
    asked = item(question, style, position)
    return asked.prompt, asked.answer
