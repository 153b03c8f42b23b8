"""Fast path of a ConvTasNet: the same network, one example at a time, frames first.

The plain twin, and oracle of the tests, is `ConvTasNet.plain_forward`. Features are [K, channels] here; the
docstring of `fast_blocks` says why. When nothing is trained, the masks of all sources exist for a chunk of
frames at a time.

Where every filter has one of the opposite sign in the other half, as in networks that started from cosines
(`ugosa_research/songs/basis.py`), the matrix products of encoder and decoder are half as large:

    w = [relu(y), relu(-y)],  y = A x;    D w m = D_half (relu(y) m_+ - relu(-y) m_-).
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.utils.weak import WeakTensorKeyDictionary

from ugosa_server.models.conv_tasnet.config import NORM_EPS
from ugosa_server.models.conv_tasnet.fast_blocks import run_blocks
from ugosa_server.models.conv_tasnet.fast_layers import Scratch, chunks

__all__ = ["Scratch", "bottleneck", "encode", "masked_frames", "overlap_add", "run_blocks", "spread"]


def encode(mix: Tensor, basis: Tensor, hop_samples: int) -> Tensor:
    """Return w = ReLU(U * mix): [C, T], at least one frame long, and U [N, C, L] -> [K, N]."""
    frames = mix.unfold(-1, basis.shape[-1], hop_samples)  # [C, K, L]
    frames = frames.transpose(0, 1).flatten(1)  # [K, C * L]
    filters = basis.flatten(1).t()  # [C * L, N]
    if not torch.is_grad_enabled() and have_opposite_halves(basis, dim=0):
        y = frames @ filters.chunk(2, dim=1)[0]  # [K, N / 2]
        return torch.cat([torch.relu(y), torch.relu_(y.neg_())], dim=1)
    return torch.relu_(frames @ filters)  # [K, N]


def have_opposite_halves(filters: Tensor, dim: int) -> bool:
    """Return whether the second half of the filters along `dim` is the first with the opposite sign.

    Compared once for each state of the weights, and not in every forward pass: on a GPU the answer has to be
    waited for.
    """
    if filters.is_inference():
        return _are_opposite_halves(filters, dim)  # its changes are not counted
    state = filters._version, filters.data_ptr()  # in-place changes raise the first, `data = ...` the second
    remembered = _opposite_halves.get(filters)
    if remembered is None or remembered[0] != state:
        remembered = _opposite_halves[filters] = state, _are_opposite_halves(filters, dim)
    return remembered[1]


_opposite_halves: MutableMapping[Tensor, tuple[tuple[int, int], bool]] = WeakTensorKeyDictionary()
"""Answer for each tensor, and the state that it holds for."""


def _are_opposite_halves(filters: Tensor, dim: int) -> bool:
    half, odd = divmod(filters.shape[dim], 2)
    return not odd and torch.equal(filters.narrow(dim, 0, half), -filters.narrow(dim, half, half))


def bottleneck(w: Tensor, norm: nn.Module, conv: nn.Module) -> Tensor:
    """Apply the first norm, over the channels of each frame, and the bottleneck: [K, N] -> [K, B]."""
    gamma, beta = norm.gamma.flatten(), norm.beta.flatten()  # type: ignore[operator]
    normalised = F.layer_norm(w, (w.shape[-1],), gamma, beta, NORM_EPS)
    return normalised @ conv.weight.squeeze(-1).t()  # type: ignore[operator]


def masked_frames(
    features: Tensor, w: Tensor, mask_weight: Tensor, basis: Tensor, scratch: Scratch, shared: int | None
) -> Tensor:
    """Compute masks, masked features and frames of audio.

    frames[k, s] = basis (ReLU(M_s features[k]) * w[k])

    Args:
        features: [K, B].
        w: [K, N].
        mask_weight: M, [S * N, B, 1].
        basis: of the decoder, [C * L, N].
        scratch: lends the memory.
        shared: source whose masked features the others share, see `spread`; then S is one less in the result.

    Returns:
        [K, S, C * L].
    """
    if torch.is_grad_enabled():
        frames: Tensor = _MaskedFrames.apply(  # type: ignore[no-untyped-call]
            features, w, mask_weight, basis, scratch, shared
        )
        return frames
    return _masked_frames(features, w, mask_weight, basis, None, scratch, shared)


def spread(by_source: Tensor, shared: int | None) -> Tensor:
    """Give what one source has to the others, in equal parts: [n, S, ...] -> [n, S - 1, ...]."""
    if shared is None:
        return by_source
    others = torch.cat([by_source[:, :shared], by_source[:, shared + 1 :]], dim=1)
    return others.add_(by_source[:, shared].unsqueeze(1), alpha=1 / others.shape[1])


def _spread_gradient(d_others: Tensor, shared: int, out: Tensor) -> None:
    """Write the gradient of what `spread` was given: [n, S - 1, N] -> [n, S, N]."""
    out[:, :shared] = d_others[:, :shared]
    out[:, shared + 1 :] = d_others[:, shared:]
    torch.mean(d_others, dim=1, out=out[:, shared])


def _masked_frames(
    features: Tensor,
    w: Tensor,
    mask_weight: Tensor,
    basis: Tensor,
    masks: Tensor | None,
    scratch: Scratch,
    shared: int | None,
) -> Tensor:
    """Compute the frames, and write the masks to `masks`, [K, S * N], if given."""
    n_filters = w.shape[-1]
    n_masks = len(mask_weight)
    n_stems = n_masks // n_filters - (shared is not None)
    to_masks, to_audio = mask_weight.flatten(1).t(), basis.t()
    halved = not torch.is_grad_enabled() and masks is None and have_opposite_halves(basis, dim=1)
    if halved:
        to_audio = basis[:, : n_filters // 2].t()
    frames = features.new_empty(len(features), n_stems, len(basis))
    for chunk in chunks(features, n_masks):
        n = chunk.stop - chunk.start
        mask = masks[chunk] if masks is not None else scratch.take("mask", n, n_masks, features)
        torch.mm(features[chunk], to_masks, out=mask).relu_()
        source_w = scratch.take("source_w", n, n_masks, features).view(n, -1, n_filters)
        torch.mul(mask.view_as(source_w), w[chunk].unsqueeze(1), out=source_w)
        source_w = spread(source_w, shared)
        if halved:
            above, below = source_w.chunk(2, dim=2)  # [n, S or S - 1, N / 2]
            source_w = above.sub_(below).flatten(0, 1)  # a copy
        torch.mm(source_w.view(-1, len(to_audio)), to_audio, out=frames[chunk].flatten(0, 1))
    return frames


class _MaskedFrames(torch.autograd.Function):
    """`masked_frames` of a training step: masks are kept, masked features computed again."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        features: Tensor,
        w: Tensor,
        mask_weight: Tensor,
        basis: Tensor,
        scratch: Scratch,
        shared: int | None,
    ) -> Tensor:
        masks = scratch.borrow(len(features), len(mask_weight), features)
        frames = _masked_frames(features, w, mask_weight, basis, masks, scratch, shared)
        ctx.save_for_backward(features, w, mask_weight, basis)
        ctx.inner, ctx.scratch, ctx.shared = (masks,), scratch, shared  # type: ignore[attr-defined]
        return frames

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        features, w, mask_weight, basis = ctx.saved_tensors
        (masks,), scratch = ctx.inner, ctx.scratch
        needs_features, needs_w, needs_mask_weight, needs_basis, *_ = ctx.needs_input_grad
        d_frames = grads[0].contiguous()  # [K, S or S - 1, C * L]
        n_filters, to_masks = w.shape[-1], mask_weight.flatten(1)
        d_features = torch.empty_like(features) if needs_features else None
        d_w = torch.empty_like(w) if needs_w else None
        d_to_masks = torch.zeros_like(to_masks)
        d_basis = torch.zeros_like(basis)
        for chunk in chunks(features, masks.shape[1]):
            n = chunk.stop - chunk.start
            d_frame, mask = d_frames[chunk].flatten(0, 1), masks[chunk]  # [n * stems, C * L], [n, S * N]
            temporary = scratch.take("temporary", n, masks.shape[1], features)
            by_source = temporary.view(n, -1, n_filters)  # [n, S, N]
            if needs_basis:
                torch.mul(mask.view_as(by_source), w[chunk].unsqueeze(1), out=by_source)
                d_basis.addmm_(d_frame.t(), spread(by_source, ctx.shared).flatten(0, 1))
            if not (needs_features or needs_w or needs_mask_weight):
                continue
            if ctx.shared is None:
                torch.mm(d_frame, basis, out=by_source.flatten(0, 1))
            else:
                _spread_gradient((d_frame @ basis).view(n, -1, n_filters), ctx.shared, by_source)
            if d_w is not None:
                torch.sum(by_source * mask.view_as(by_source), dim=1, out=d_w[chunk])
            by_source.mul_(w[chunk].unsqueeze(1))
            d_mask = torch.ops.aten.threshold_backward.grad_input(temporary, mask, 0, grad_input=temporary)
            if needs_mask_weight:
                d_to_masks.addmm_(d_mask.t(), features[chunk])
            if d_features is not None:
                torch.mm(d_mask, to_masks, out=d_features[chunk])
        ctx.inner = None  # as in a block, a second backward pass fails
        scratch.give_back(masks)
        return (
            d_features,
            d_w,
            d_to_masks.view_as(mask_weight) if needs_mask_weight else None,
            d_basis if needs_basis else None,
            None,
            None,
        )


def overlap_add(frames: Tensor) -> Tensor:
    """Add up frames that overlap by half: [..., K, L] -> [..., (K + 1) L / 2]."""
    first, second = frames.chunk(2, dim=-1)  # [..., K, L / 2] each
    return (F.pad(first, (0, 0, 0, 1)) + F.pad(second, (0, 0, 1, 0))).flatten(-2)
