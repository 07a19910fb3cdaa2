"""quarantine.json: how it is read and printed."""

import pytest

from gato_dist.errors import InputError
from gato_dist.records.quarantine import Quarantined, quarantine_text, read_quarantine, write_quarantine


def test_entries_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "quarantine.json"
    assert read_quarantine(path) == []
    entries = [Quarantined("a/b", "experts", 3, "died")]
    write_quarantine(path, entries)
    assert read_quarantine(path) == entries


@pytest.mark.parametrize("text", ["[1]", "{", '[{"task": "a"}]'])
def test_a_damaged_file_is_refused_by_name(tmp_path, text):
    path = tmp_path / "quarantine.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"quarantine\.json: damaged"):
        read_quarantine(path)


def test_one_line_names_every_entry():
    entries = [Quarantined("a", "experts", 5, "died"), Quarantined("b", "evaluation", 5, "hangs")]
    assert quarantine_text(entries) == "quarantined: a (experts: died; 5 tries); b (evaluation: hangs; 5 tries)"
    assert quarantine_text([]) == ""
