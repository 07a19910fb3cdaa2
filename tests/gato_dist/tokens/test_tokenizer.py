"""The tokenizer of a run: its text, its statistics, its fingerprint."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_dist.errors import InputError
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import ObservationMoments, Tokenizer, pooled_statistics

TEXT = TextTokenizer.load()


def spec(name: str) -> TaskSpec:
    return TaskSpec(
        name, (ObservationSpec("state", Modality.CONTINUOUS, (2,)),), ActionSpec(Modality.DISCRETE, (), (3,)), 9
    )


def make(encoding: str = "compact") -> Tokenizer:
    specs = [spec("arm/left"), spec("arm/right"), spec("leg/left")]
    moments = {
        "arm/left": {"state": ObservationMoments.of(np.array([[0.0, 5.0], [2.0, 5.0]]))},
        "arm/right": {"state": ObservationMoments.of(np.array([[0.0, 7.0], [2.0, 7.0]]))},
        "leg/left": {"state": ObservationMoments.of(np.array([[10.0, 1.0], [30.0, 1.0]]))},
    }
    return Tokenizer(specs, TEXT, scheme="disjoint", encoding=encoding, statistics=pooled_statistics(specs, moments))


@given(st.text())
def test_any_text_round_trips(text):
    ids = TEXT.encode(text)
    assert all(0 <= i < TEXT.size for i in ids)
    assert TEXT.decode(ids).removeprefix(" ") == text.removeprefix(" ")


def test_each_word_of_a_mission_is_one_token():
    assert len(TEXT.encode("go to the red ball")) == 5


def test_statistics_pooled_over_a_suite_keep_its_tasks_distinguishable():
    tokenizer = make()
    left, right = (
        tokenizer.tasks[name].encode({"state": np.array([[1.0, v]])})
        for name, v in (("arm/left", 5.0), ("arm/right", 7.0))
    )
    assert left.tensors[0, 0].tolist() == pytest.approx([0.0, -1.0])
    assert right.tensors[0, 0].tolist() == pytest.approx([0.0, 1.0])


def test_a_constant_number_is_not_amplified():
    tokens = make().tasks["leg/left"].encode({"state": np.array([[20.0, 1.5]])})
    assert tokens.tensors[0, 0].tolist() == pytest.approx([0.0, 0.5])


def test_a_saved_tokenizer_has_the_same_fingerprint(tmp_path):
    for encoding in ("paper", "compact"):
        tokenizer = make(encoding)
        tokenizer.save(tmp_path)
        assert Tokenizer.load(tmp_path).fingerprint == tokenizer.fingerprint
    assert make("paper").fingerprint != make("compact").fingerprint


def test_another_layout_version_is_refused():
    tokenizer = make()
    data = tokenizer.to_dict()
    del data["layout"]  # which those of the first layout did not say
    with pytest.raises(ValueError, match=r"token layout has version 1;"):
        Tokenizer.from_dict(data, tokenizer.text.model_bytes)


def test_pooled_moments_equal_those_of_all_samples():
    values = np.random.default_rng(0).normal(size=(30, 2))
    pooled = ObservationMoments.pooled([ObservationMoments.of(values[:10]), ObservationMoments.of(values[10:])])
    assert pooled.mean == pytest.approx(values.mean(0))
    assert pooled.variance == pytest.approx(values.var(0))


def test_a_file_that_is_not_a_text_model_is_refused(tmp_path):
    (tmp_path / "x.model").write_text("no model")
    with pytest.raises(InputError, match=r"tokens\.text.*x\.model"):
        TextTokenizer.load(tmp_path / "x.model")


def test_task_separators_distinguish_tasks_without_extra_tokens(tmp_path):
    observation = {"state": np.zeros((1, 2))}
    shared, own = (
        Tokenizer(
            [spec("arm/left"), spec("arm/right")],
            TEXT,
            scheme="disjoint",
            encoding="paper",
            statistics={},
            separators=separators,
        )
        for separators in ("shared", "task")
    )
    assert (own.vocabulary.size, own.fingerprint != shared.fingerprint) == (shared.vocabulary.size + 2, True)
    left, right = (own.tasks[name].encode(observation).token[0] for name in ("arm/left", "arm/right"))
    together = shared.tasks["arm/left"].encode(observation).token[0]
    assert left[:-1].tolist() == right[:-1].tolist() == together[:-1].tolist()
    assert [left[-1] - together[-1], right[-1] - together[-1]] == [1, 2]
    own.save(tmp_path)
    assert Tokenizer.load(tmp_path).fingerprint == own.fingerprint
