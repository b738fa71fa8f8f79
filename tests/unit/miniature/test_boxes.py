"""The drawn questions with boxes: one object is meant, and its pixels are in its box."""

import io

import numpy as np
from PIL import Image

from workflow_scripts.miniature.boxes import asked_about, rows
from workflow_scripts.miniature.render import RGB
from workflow_scripts.miniature.scene import draw_image_scene
from workflow_scripts.settings import MiniatureSettings

SETTINGS = MiniatureSettings(boxes=60)


def test_every_question_is_about_one_object_and_its_box_holds_it() -> None:
    found = rows(SETTINGS)
    assert len(found) == len({row["question_id"] for row in found}) == 60
    colours = 0
    for row in found:
        pixels = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))
        left, top, width, height = row["bbox"]
        assert 0 <= left < left + width <= 64
        assert 0 <= top < top + height <= 64
        box = pixels[top : top + height, left : left + width].astype(float)
        words = f"{row['question']} {row['begins']}{row['answer']}".split()
        named = [word for word in words if word in RGB]
        assert len(set(named)) == 1, "one colour is named: of the question or of the answer"
        near = np.abs(box - np.array(RGB[named[0]])).sum(axis=2) < 60
        outside = np.abs(pixels.astype(float) - np.array(RGB[named[0]])).sum(axis=2) < 60
        assert near.sum() > 10
        colours += near.sum() / outside.sum() > 0.99
        assert row["begins"].startswith("The ")
        assert row["answer"].startswith(" ")
    assert colours > 50, "but for things that share a colour, all of it is in the box"
    asked = [row["question"].startswith("What color") for row in found]
    assert 0.4 < np.mean(asked) < 0.6


def test_a_smaller_draw_is_the_beginning_of_a_larger_one() -> None:
    fewer = rows(MiniatureSettings(boxes=10))
    assert [row["question_id"] for row in fewer] == [row["question_id"] for row in rows(SETTINGS)][:10]


def test_the_object_meant_is_the_one_with_the_named_look() -> None:
    seen = 0
    for seed in range(200):
        for question, thing in asked_about(draw_image_scene(seed)):
            seen += 1
            assert question.answer in (thing.color, thing.pattern)
            assert (thing.color in question.text) != (thing.pattern in question.text)
    assert seen > 100
