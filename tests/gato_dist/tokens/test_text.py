"""Text models: texts round-trip through the shipped model and through trained ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_dist.errors import InputError
from gato_dist.tokens.text import TextTokenizer, train_text_model

LINES = "go to the red ball\npick up the blue key\nput the green box next to the grey door\n" * 20
SHIPPED = TextTokenizer.load()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
def test_any_text_round_trips_through_the_shipped_model(text):
    assert SHIPPED.decode(SHIPPED.encode(text)) == text


def test_a_trained_model_can_be_loaded_and_round_trips_unseen_text(tmp_path):
    (tmp_path / "lines.txt").write_text(LINES)
    made = train_text_model([tmp_path / "lines.txt"], 320, tmp_path / "my.model")
    loaded = TextTokenizer.load(tmp_path / "my.model")
    assert loaded.size == made.size == 320
    assert loaded.fingerprint == made.fingerprint
    for text in ("go to the blue door", "Zürich 東京 ✓", "two  spaces"):
        assert loaded.decode(loaded.encode(text)) == text
    assert len(loaded.encode("pick up the red key")) <= 8
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_vocabulary_size_too_large_for_the_text_is_refused(tmp_path):
    (tmp_path / "lines.txt").write_text(LINES)
    with pytest.raises(InputError, match="--vocab-size: 32000"):
        train_text_model([tmp_path / "lines.txt"], 32000, tmp_path / "my.model")
    assert not (tmp_path / "my.model").exists()


def test_an_input_that_is_not_text_is_refused_and_named(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\xff\xfe\x00")
    for name in ("photo.png", "nowhere.txt"):
        with pytest.raises(InputError, match=name):
            train_text_model([tmp_path / name], 300, tmp_path / "my.model")
