"""An evaluator without Ray: which weights it scores, and what it reports."""

from actors.coordination.evaluation import EvaluationJob
from actors.coordination.weights import PublishedWeights
from actors.evaluation_worker import EvaluationWorker
from gato_dist.config.run_config import parse_config
from gato_dist.model.gato import Gato
from gato_dist.telemetry import EvaluatorReport
from gato_dist.training.live import make_tokenizer

TASK = "babyai/go-to-obj"


class FakeWorker:
    """An evaluation worker of a small model, with everything that it loads and reports."""

    def __init__(self) -> None:
        data = {
            "name": "x",
            "tasks": [{"name": TASK}],
            "model": {"width": 16, "layers": 1, "heads": 1, "key_size": 16, "feed_forward": 32},
            "evaluation": {"episodes": 1, "final_episodes": 3},
        }
        config = parse_config(data, "test")
        tokenizer = make_tokenizer(config)
        model = Gato(config.model, tokenizer.vocabulary.size, tokenizer.tensor_size)
        self._state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        self.loaded: list[int] = []
        self.reports: list[EvaluatorReport] = []
        self.steps = 0
        self.worker = EvaluationWorker(
            "evaluator 0", config, tokenizer, load_weights=self._load, report=self.reports.append, alive=self._alive
        )

    def job(self, version: int, final: bool = False) -> EvaluationJob:
        weights = PublishedWeights(version=version, step=10 * version, reference=self._state, published=0.0)
        return EvaluationJob(task=TASK, weights=weights, final=final, film=False)

    def _load(self, weights, load) -> None:
        load(weights.reference)
        self.loaded.append(weights.version)

    def _alive(self) -> None:
        self.steps += 1


def test_weights_are_loaded_once_per_version():
    fake = FakeWorker()
    results = [fake.worker.score(fake.job(version)) for version in (1, 1, 2)]
    assert fake.loaded == [1, 2]
    assert [(result.task, result.version, result.step) for result in results] == [
        (TASK, 1, 10),
        (TASK, 1, 10),
        (TASK, 2, 20),
    ]
    assert [len(result.returns) for result in results] == [1, 1, 1]
    assert fake.steps > 0


def test_only_the_final_evaluation_reports_every_episode():
    fake = FakeWorker()
    fake.worker.score(fake.job(1))
    assert fake.reports == []
    result = fake.worker.score(fake.job(2, final=True))
    assert (result.final, len(result.returns)) == (True, 3)
    assert [report.final_episodes for report in fake.reports] == [1, 2, 3]
    assert fake.worker.report().final_episodes is None
