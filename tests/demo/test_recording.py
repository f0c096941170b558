"""The film of the script: every line of it, in a picture that needs nothing else."""

from xml.etree import ElementTree as ET

from verger.demo.history import Entry
from verger.demo.recording import READING, film
from verger.demo.script import Scene


def test_film_shows_each_scene_in_turn() -> None:
    """It is well-formed, each scene begins when the one before ends, and markup in a name is text."""
    scenes = [
        Scene(f"Scene <{number}>", "Told.", [Entry(7, "ADDED", "secrets", "a/b", None, {})], {})
        for number in range(3)
    ]
    root = ET.fromstring(film(scenes))
    groups = root.findall("{*}g")
    assert [group.get("style") for group in groups] == [
        f"animation-delay:{number * READING:g}s" for number in range(3)
    ]
    for number, group in enumerate(groups):
        texts = [text.text for text in group.findall("{*}text")]
        assert texts[0] == f"{number + 1}. Scene <{number}>"
        assert "   +7    ADDED    secrets a/b" in texts
    assert "http" not in film(scenes).replace("http://www.w3.org/2000/svg", "")
