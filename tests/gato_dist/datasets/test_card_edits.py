"""A regenerated card keeps people's edits: header keys, comments, notes and whole sections."""

import pytest
import yaml

from gato_dist.cli.main import main
from gato_dist.datasets.card import CARD, write_card
from gato_dist.datasets.card_edits import join_card
from gato_dist.errors import InputError
from replay.dataset.dataset import Dataset
from replay.dataset.writing import EpisodeStream, write_dataset
from tests.support.episodes import arm, buttons
from tests.support.fakes import ARM, BUTTONS

HEADER = {"license": "other", "license_name": "to-be-chosen", "size": "small", "configs": [{"config_name": "a"}]}
SECTIONS = {"opening": "# Title", "tasks": "## Tasks\n2 episodes", "licences": "## Licences\nto be filled in"}
MORE = {**HEADER, "size": "large", "configs": [{"config_name": "a"}, {"config_name": "b"}]}
LATER = SECTIONS | {"tasks": "## Tasks\n5 episodes"}


def header_of(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_an_unedited_card_is_generated_from_scratch():
    assert join_card(MORE, LATER, join_card(HEADER, SECTIONS)) == join_card(MORE, LATER)


def test_edited_and_added_keys_are_kept_and_the_others_updated():
    card = join_card(HEADER, SECTIONS)
    card = card.replace("license: other\n", "license: mit  # asked the authors\n# mine\nlanguage: en\n")
    card = card.replace("license_name: to-be-chosen\n", "")
    for _ in range(2):
        card = join_card(MORE, LATER, card)
        assert "license: mit  # asked the authors\n# mine\nlanguage: en\n" in card
        assert header_of(card) == {"license": "mit", "language": "en", "size": "large", "configs": MORE["configs"]}


def test_notes_and_edited_sections_are_kept_and_the_others_updated():
    card = join_card(HEADER, SECTIONS).replace("# Title\n", "# Title\n\nMine, within.\n")
    card = card.replace("\n\n<!-- gato_dist: tasks", "\n\nMine, between.\n\n<!-- gato_dist: tasks") + "Mine, behind.\n"
    for _ in range(2):
        card = join_card(MORE, LATER, card)
        for note in ("Mine, within.", "Mine, between.", "Mine, behind."):
            assert card.count(note) == 1
        assert "5 episodes" in card
        assert "2 episodes" not in card


def test_a_deleted_section_is_not_generated_again():
    card = join_card(HEADER, SECTIONS)
    start, end = card.index("<!-- gato_dist: licences"), card.index("<!-- gato_dist: the header")
    assert "Licences" not in join_card(MORE, LATER, card[:start] + card[end:])


def test_edited_configurations_are_kept_and_new_tasks_are_added():
    card = join_card(HEADER, SECTIONS).replace("- config_name: a\n", "- config_name: a\n  default: true\n")
    expected = [{"config_name": "a", "default": True}, {"config_name": "b"}]
    assert header_of(join_card(MORE, LATER, card))["configs"] == expected


@pytest.mark.parametrize(
    "before", ["My words.\n", "\ufeff---\r\nlicense: mit\r\n---\r\nMy words.\r\n", "---\n---\nMy words."]
)
def test_a_readme_that_was_not_generated_is_kept_and_the_card_is_added(before):
    card = join_card(HEADER, SECTIONS, before)
    assert card.count("My words.") == 1
    assert header_of(card)["license"] == ("mit" if "mit" in before else "other")
    assert header_of(card)["size"] == "small"
    assert "2 episodes" in card
    assert join_card(HEADER, SECTIONS, card) == card


@pytest.mark.parametrize("header", ["a: [", "- a", "a: &x 1\nb: *x", "[" * 9999], ids=["open", "list", "alias", "deep"])
def test_an_unreadable_header_is_refused_in_one_line_and_kept(header, tmp_path):
    write_dataset(tmp_path / "set", [EpisodeStream(BUTTONS, [buttons(3, 0)])], "fake", "")
    path = tmp_path / "set" / CARD
    path.write_text(f"---\n{header}\n---\nMine.\n", "utf-8")
    with pytest.raises(InputError, match=r"README.md: its header, .*; fix or delete it") as caught:
        write_card(Dataset.open(tmp_path / "set"))
    assert "\n" not in str(caught.value)
    assert path.read_text("utf-8") == f"---\n{header}\n---\nMine.\n"


def test_the_card_command_keeps_edits(tmp_path):
    write_dataset(
        tmp_path / "set", [EpisodeStream(BUTTONS, [buttons(3, 0)]), EpisodeStream(ARM, [arm(3, 0)])], "fake", ""
    )
    path = tmp_path / "set" / CARD
    write_card(Dataset.open(tmp_path / "set"))
    edited = path.read_text("utf-8").replace("license: other", "license: cc-by-4.0") + "\nA note.\n"
    path.write_text(edited, "utf-8")
    (tmp_path / "set/toy.arm/000000.json").unlink()
    assert main(["dataset", "card", str(tmp_path / "set")]) == 0
    card = path.read_text("utf-8")
    assert header_of(card)["license"] == "cc-by-4.0"
    assert "A note." in card
    assert [each["config_name"] for each in header_of(card)["configs"]] == ["toy.buttons"]
