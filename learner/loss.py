"""The masked loss: cross-entropy where the next token carries loss, and nowhere else (paper, section 2.3)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gato_dist.kinds import Kind
from gato_dist.model.gato import Gato, Inputs
from gato_dist.specs import Modality
from gato_dist.tokens.layout import Vocabulary
from gato_dist.tokens.values import BINS


@dataclass
class MaskedLoss:
    """total: scalar sum of losses with gradient; per_token float32 [M] and row int64 [M]: without; M masked tokens."""

    total: Tensor
    per_token: Tensor
    row: Tensor


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

    def forward(self, inputs: Inputs) -> MaskedLoss:
        predicts = inputs.loss_mask[:, 1:]
        row, _ = predicts.nonzero(as_tuple=True)
        hidden = self.model(inputs, wanted=F.pad(predicts, (0, 1)))
        logits = self.model.logits(hidden).float()
        target = inputs.token[:, 1:][predicts].long()
        if self.target_spread > 0:
            spread = inputs.kind[:, 1:][predicts] == Kind.ACTION_CONTINUOUS
            per_token = self._spread_loss(logits, target, spread)
        else:
            per_token = F.cross_entropy(logits, target, reduction="none")
        return MaskedLoss(per_token.sum(), per_token.detach(), row)

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
