"""Seed blocks of a run: no two actors of all its starts share one."""

import pytest

from gato_dist.errors import InputError
from gato_dist.records import run_folder
from gato_dist.records.run_folder import BLOCKS_PER_CLAIM, RunFolder
from gato_dist.seeds import MAX_BLOCKS, first_sequence, sequence_block


def full(path, text) -> None:
    raise OSError(28, "no space left on device")


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    (tmp_path / "replay").mkdir()
    return RunFolder(tmp_path)


def test_no_block_is_claimed_twice_whoever_opens_the_folder(folder):
    claims = [*folder.claim_seed_blocks(), *folder.claim_seed_blocks(), *RunFolder(folder.root).claim_seed_blocks()]
    assert claims == list(range(3 * BLOCKS_PER_CLAIM))


def test_what_is_left_of_the_blocks_is_given_and_then_refused_by_the_file(folder):
    (folder.replay / "seed_blocks.json").write_text(f'{{"next": {MAX_BLOCKS - BLOCKS_PER_CLAIM}}}')
    assert folder.claim_seed_blocks().stop == MAX_BLOCKS
    with pytest.raises(InputError, match=r"seed_blocks\.json: no seed blocks are left"):
        folder.claim_seed_blocks()


@pytest.mark.parametrize("text", ["", "[]", '{"next": "many"}', '{"next": -5}', '{"next": 1e999}'])
def test_a_damaged_count_of_them_is_refused_by_the_file(folder, text):
    (folder.replay / "seed_blocks.json").write_text(text)
    with pytest.raises(InputError, match=r"seed_blocks\.json: damaged; begin another run"):
        folder.claim_seed_blocks()


def test_what_cannot_be_written_is_told_by_the_file_and_gives_nothing_away(folder, monkeypatch):
    (folder.replay / "seed_blocks.json").mkdir()
    with pytest.raises(InputError, match=r"seed_blocks\.json: cannot be read: .*; mend that, then --resume"):
        folder.claim_seed_blocks()
    (folder.replay / "seed_blocks.json").rmdir()
    monkeypatch.setattr(run_folder, "write_text_atomically", full)
    with pytest.raises(InputError, match=r"seed_blocks\.json: cannot be written: .*no space.*; mend that"):
        folder.claim_seed_blocks()


def test_the_last_row_of_the_last_block_is_a_whole_number_where_reverb_keeps_it():
    last = first_sequence(MAX_BLOCKS) - 1
    assert (int(float(last)), sequence_block(last)) == (last, MAX_BLOCKS - 1)
    assert int(float(last)) - int(float(last - 1)) == 1
