"""Seed blocks: no two actors of a run share one, in any of its starts."""

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


def test_no_block_is_claimed_twice(folder):
    claims = [*folder.claim_seed_blocks(), *folder.claim_seed_blocks(), *RunFolder(folder.root).claim_seed_blocks()]
    assert claims == list(range(3 * BLOCKS_PER_CLAIM))


def test_the_last_blocks_are_given_and_then_claims_are_refused(folder):
    (folder.replay / "seed_blocks.json").write_text(f'{{"next": {MAX_BLOCKS - BLOCKS_PER_CLAIM}}}')
    assert folder.claim_seed_blocks().stop == MAX_BLOCKS
    with pytest.raises(InputError, match=r"seed_blocks\.json: no seed blocks are left"):
        folder.claim_seed_blocks()


@pytest.mark.parametrize("text", ["", "[]", '{"next": "many"}', '{"next": -5}', '{"next": 1e999}'])
def test_a_damaged_file_of_seed_blocks_is_refused_by_name(folder, text):
    (folder.replay / "seed_blocks.json").write_text(text)
    with pytest.raises(InputError, match=r"seed_blocks\.json: damaged; begin another run"):
        folder.claim_seed_blocks()


def test_a_file_that_cannot_be_read_or_written_is_refused_by_name(folder, monkeypatch):
    (folder.replay / "seed_blocks.json").mkdir()
    with pytest.raises(InputError, match=r"seed_blocks\.json: cannot be read: .*; fix that, then --resume"):
        folder.claim_seed_blocks()
    (folder.replay / "seed_blocks.json").rmdir()
    monkeypatch.setattr(run_folder, "write_text_atomically", full)
    with pytest.raises(InputError, match=r"seed_blocks\.json: cannot be written: .*no space.*; fix that"):
        folder.claim_seed_blocks()


def test_reverb_keeps_the_last_sequence_number_of_the_last_block_exactly():
    last = first_sequence(MAX_BLOCKS) - 1
    assert (int(float(last)), sequence_block(last)) == (last, MAX_BLOCKS - 1)
    assert int(float(last)) - int(float(last - 1)) == 1
