"""Temporal blocks near the speed of their matrix products, forward and backward.

The plain twin is `network.TemporalBlock`, and the numbers are the same up to rounding. Written for a CPU; a
GPU runs the same code. Differences:

- **Frames first.** Features of one example are [K, channels], so that a 1x1 convolution is one plain matrix
  product (BLAS runs it at twice the rate of a convolution over [channels, K]), and the numbers that a norm or
  a tap has for every channel are a row that all frames share.
- **Folded norms.** gLN(p) = a p + c with a = gamma r, c = beta - a m, where m and r are the mean and
  1 / sqrt(var + eps) of all of p. `a` goes into the next weights and `c` into a constant; normalised features
  are never written. The second r is a number: out = x + r (t @ (gamma W)^T) + W c needs no second look at t.
- **Chunks.** A stretch of frames stays in the core's cache until all work on it is done. Only the norms'
  statistics divide the work: two passes forward, three backward.
- **Little is kept** for the gradient, three tensors a block: x, p and t below, which determine u and q where
  slopes are positive, as they nearly always are; otherwise x, u and q, from which p and t are computed again.
- **Memory is reused** (`Scratch`): fresh memory costs page faults. So all blocks of a training step are one
  function of autograd, and tensors that are not needed any more are written over.

    u = W_up x    p = prelu(u)    q[k] = sum_j taps_j gLN(p)[k + offset_j]    t = prelu(q)
    out = x + W_down gLN(t)

Backward, with g = d out: the sums over frames that a norm's gradient needs follow from sums that the
gradients of its neighbours' weights need anyway (`norm_gradient`), so no pass is made for them.
"""
