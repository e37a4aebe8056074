"""What the recipes on Tiny ImageNet share.

The pixels' mean and deviation, the classes that are kept for the figures on
unseen ones, and two measures that look at what `--choose` left out.  Bits are
-1 and 1 here, so that a product of two codes says how far apart they are.
"""
import os

import torch

MEAN = (122, 115, 101)  # of the training pixels, RGB
STD = (70.0, 68.0, 71.0)
SIDE = 64


def unseen():
    """Labels of weights/unseen_classes.txt: its lines begin with them."""
    path = os.path.join(os.path.dirname(__file__), 'unseen_classes.txt')
    with open(path) as f:
        return {int(line.split()[0]) for line in f
                if line.strip() and not line.startswith('#')}


def precision(u, labels, k=10):
    """Precision at k of bits -1 and 1 among themselves, ties in their order."""
    total = 0.0
    order = torch.arange(len(u), device=u.device) / len(u)
    for i in range(0, len(u), 500):
        like = u[i:i + 500] @ u.T - order
        rows = torch.arange(len(like), device=u.device)
        like[rows, i + rows] = -1e9
        top = like.topk(k, 1).indices
        total += (labels[top] == labels[i:i + 500, None]).float().sum().item()
    return total / k / len(u)


def recall(u, v, rate=1e-4):
    """Of views v the share that is as near to its picture in u as one of
    1 / rate pairs that are not the same is at most."""
    like = v @ u.T
    same = like.diagonal().clone()
    like.fill_diagonal_(-u.shape[1])
    count = int(rate * like.numel())
    at = like.flatten().topk(count + 1).values[-1]
    return (same > at).float().mean().item()
