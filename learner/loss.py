"""The masked loss: cross-entropy where the next token carries loss, and nowhere else (paper, section 2.3)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gato_dist.model.gato import Gato
from gato_dist.model.inputs import Inputs, Targets
from gato_dist.specs import Modality
from gato_dist.tokens.layout import Vocabulary
from gato_dist.tokens.values import BINS


class LossModel(nn.Module):
    """Gato and its loss as one module, so that data-parallel wrappers see every parameter in one forward pass.

    target_spread: standard deviation, in bins, of the Gaussian over neighbouring bins that a continuous action's
    target becomes; 0 for one-hot. Neighbouring bins are nearly the same action, which one-hot targets hide.
    """

    def __init__(self, model: Gato, vocabulary: Vocabulary, target_spread: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.target_spread = target_spread
        self._bins_start = vocabulary.action(Modality.CONTINUOUS)

    def forward(self, inputs: Inputs, targets: Targets) -> tuple[Tensor, Tensor]:
        """The sum of the targets' losses, with gradient, and each of them, float32 [M], without; 0 for padding."""
        logits = self.model.logits(self.model(inputs, targets.wanted)).float()
        if self.target_spread > 0:
            per_token = self._spread_loss(logits, targets.token, targets.continuous)
        else:
            per_token = F.cross_entropy(logits, targets.token, reduction="none")
        per_token = per_token * targets.real
        return per_token.sum(), per_token.detach()

    def _spread_loss(self, logits: Tensor, target: Tensor, spread: Tensor) -> Tensor:
        log_share = logits.log_softmax(-1)
        reach = int(3 * self.target_spread) + 1
        offset = torch.arange(-reach, reach + 1, device=logits.device)
        ids = target[:, None] + offset
        weight = torch.exp(-0.5 * (offset / self.target_spread) ** 2).expand(ids.shape)
        weight = weight * ((ids >= self._bins_start) & (ids < self._bins_start + BINS))
        weight = torch.where(spread[:, None], weight, (offset == 0).float())
        weight = weight / weight.sum(-1, keepdim=True)
        return -(weight * log_share.gather(1, ids.clamp(0, logits.shape[-1] - 1))).sum(-1)
