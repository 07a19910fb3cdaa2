"""The reference of configuration keys: it is up to date, complete, and describes every key."""

from gato_dist.config.reference import make_reference
from gato_dist.config.run_config import RunConfig
from tests.support.paths import ROOT

PAGE = make_reference()


def test_the_committed_page_is_up_to_date():
    """If it fails: python -m gato_dist.config.reference > docs/reference/configuration.md."""
    assert (ROOT / "docs" / "reference" / "configuration.md").read_text("utf-8") == PAGE


def test_every_key_of_a_dumped_configuration_is_on_the_page():
    config = RunConfig(
        name="x", tasks=({"name": "ale/pong"},), corpora=({"name": "c", "kind": "text", "paths": "c.txt"},)
    )
    for section, value in config.model_dump().items():
        if isinstance(value, tuple):
            keys = [f"{section}.N.{key}" for key in value[0]]
        else:
            keys = [f"{section}.{key}" for key in value] if isinstance(value, dict) else [section]
        assert [key for key in keys if f"| `{key}` |" not in PAGE] == []


def test_every_row_has_a_type_a_default_and_a_description():
    rows = [line.strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    for key, kind, default, _, description in rows:
        assert kind.strip(), key
        assert default.strip(), key
        assert len(description) > 10, key


def test_ranges_defaults_and_choices_are_those_of_the_code():
    assert "| `replay.port` | integer | `0` | ≥ 0, ≤ 65,535 |" in PAGE
    assert "| `learner.minutes` | number or null | `null` | > 0 |" in PAGE
    assert "| `tokens.encoding` | `paper`, `compact` | `compact` |  |" in PAGE
    assert "| `corpora.N.paths` | list of text | required |  |" in PAGE
