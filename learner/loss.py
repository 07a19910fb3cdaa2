"""The masked loss: cross-entropy of the tokens that carry loss (paper, section 2.3)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gato_dist.model.gato import Gato
from gato_dist.model.inputs import LossTargets, ModelInputs
from gato_dist.specs import Modality
from gato_dist.tokens.values import BINS
from gato_dist.tokens.vocabulary import Vocabulary


class LossModel(nn.Module):
    """Gato and its loss as one module, so that data-parallel wrappers see every parameter in one forward pass."""

    def __init__(self, model: Gato, vocabulary: Vocabulary, target_spread: float = 0.0) -> None:
        """Wraps a model.

        Args:
            model: the model.
            vocabulary: token ids of the run.
            target_spread: standard deviation, in bins, of a Gaussian over neighbouring bins that replaces the one-hot
                target of a continuous action; 0: one-hot. Neighbouring bins are nearly the same action, which one-hot
                targets do not express.
        """
        super().__init__()
        self.model = model
        self.target_spread = target_spread
        self._bins_start = vocabulary.action(Modality.CONTINUOUS)

    def forward(self, inputs: ModelInputs, targets: LossTargets) -> tuple[Tensor, Tensor]:
        """Computes the loss of each target.

        Returns:
            The sum of all losses, with gradient, and the loss of each target, float32 [M], without gradient; 0 for
            padding.
        """
        logits = self.model.logits(self.model(inputs, targets.outputs)).float()
        if self.target_spread > 0:
            per_token = self._spread_loss(logits, targets.token, targets.continuous)
        else:
            per_token = F.cross_entropy(logits, targets.token, reduction="none")
        per_token = per_token * targets.weight
        return per_token.sum(), per_token.detach()

    def _spread_loss(self, logits: Tensor, target: Tensor, continuous: Tensor) -> Tensor:
        """Cross-entropy with Gaussian targets for continuous actions, [M]; logits [M, V], target and continuous [M]."""
        log_probability = logits.log_softmax(-1)
        reach = int(3 * self.target_spread) + 1
        offset = torch.arange(-reach, reach + 1, device=logits.device)
        ids = target[:, None] + offset
        weight = torch.exp(-0.5 * (offset / self.target_spread) ** 2).expand(ids.shape)
        weight = weight * ((ids >= self._bins_start) & (ids < self._bins_start + BINS))
        weight = torch.where(continuous[:, None], weight, (offset == 0).float())
        weight = weight / weight.sum(-1, keepdim=True)
        return -(weight * log_probability.gather(1, ids.clamp(0, logits.shape[-1] - 1))).sum(-1)
