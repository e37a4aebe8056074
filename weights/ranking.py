"""What the training recipes print of codes: mAP@k by the paper's protocol.

make eval measures the models that ship, through the extension; this is the
same figure where the codes are still tensors, on the CPU or a GPU.
"""
import torch


def mean_average_precision(query, asked, base, labels, k=1000):
    """mAP@k of bits [n, b], AP over the hits within the first k, ties in the
    order of the base."""
    query, base = query.float() * 2 - 1, base.float() * 2 - 1
    k = min(k, len(base))
    order = torch.arange(len(base), device=base.device) / len(base)
    ranks, total = torch.arange(1, k + 1, device=base.device), 0.0
    for i in range(0, len(query), 100):
        like = query[i:i + 100] @ base.T - order
        top = like.topk(k, sorted=True).indices
        hit = (labels[top] == asked[i:i + 100, None]).float()
        precision = hit.cumsum(1) / ranks
        total += ((precision * hit).sum(1) /
                  hit.sum(1).clamp(min=1)).sum().item()
    return total / len(query)
