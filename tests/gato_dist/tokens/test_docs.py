"""The worked example of docs/reference/tokens.md matches the code."""

import re

import numpy as np

from gato_dist.sequence import Kind
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.vocabulary import Vocabulary
from tests.support.fakes import ARM
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "reference" / "tokens.md"


def test_the_worked_example_in_the_docs_matches_the_code():
    sequences = re.findall(r"^\| (\d+) \| (.*?) \| (\d+|–) \|.*\| (\d+) \| (yes)? ?\|$", PAGE.read_text(), re.MULTILINE)
    tokenizer = TaskTokenizer(ARM, Vocabulary(32000, "paper"), TextTokenizer.load(), "paper")
    observations = {
        "mission": ["go to the red ball"],
        "camera": np.zeros((1, 16, 32, 3), np.uint8),
        "gripper": np.array([3]),
        "pose": np.array([[0.0, 1.0, -1.0]]),
    }
    steps = tokenizer.encode(observations, np.array([[-1.0, 4.0]]))
    assert len(sequences) == steps.token.shape[1] == 14
    for position, (number, _, token, local, loss) in enumerate(sequences):
        assert int(number) == position
        if steps.kind[0, position] != Kind.PATCH:
            assert int(token) == steps.token[0, position]
        assert (token == "–") == (steps.kind[0, position] == Kind.PATCH)
        assert int(local) == steps.local_position[0, position]
        assert bool(loss) == (steps.kind[0, position] >= Kind.ACTION)
    assert steps.patch_positions.tolist() == [[[0, 127], [0, 63]], [[0, 127], [64, 127]]]
