"""Triton kernels of batch norm in training, with ReLU: two forward and two backward, where torch has seven in 16 bits and ReLU two.

Images are (M, C), M = B * H * W rows of pixels (channels_last). Programs take `tiles` tiles of rows each; what they find is
summed in a fixed order, so that results repeat bitwise. torch's batch norm sums in another order: the last digits differ.
"""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["rows", "tiles"])
def statistics(x, means, squares, rows, channels, tiles, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Each program's mean and sum of squared deviations of its rows, (programs, C): Chan, Golub, LeVeque 1979."""
    program = tl.program_id(0)
    c = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    count, mean, square = 0.0, tl.zeros([WIDTH], tl.float32), tl.zeros([WIDTH], tl.float32)
    for tile in range(tiles):
        r = (program * tiles + tile) * ROWS + tl.arange(0, ROWS)
        there = (r < rows)[:, None] & (c < channels)[None, :]
        values = tl.load(x + r[:, None].to(tl.int64) * channels + c[None, :], mask=there, other=0.0).to(tl.float32)
        new = tl.sum((r < rows).to(tl.float32), 0)
        new_mean = tl.sum(values, 0) / tl.maximum(new, 1.0)
        away = tl.where(there, values - new_mean[None, :], 0.0)
        total = tl.maximum(count + new, 1.0)
        step = new_mean - mean
        square += tl.sum(away * away, 0) + step * step * (count * new / total)
        mean += step * (new / total)
        count += new
    tl.store(means + program * channels + c, mean, mask=c < channels)
    tl.store(squares + program * channels + c, square, mask=c < channels)


@triton.jit(do_not_specialize=["rows", "tiles"])
def normalize(
    x, out, means, squares, weight, bias, running_mean, running_var, mean_kept, scale_kept, rows, channels, tiles, momentum, eps,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, PROGRAMS: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    """The statistics of all rows, the running ones, and the normalised rows."""
    program = tl.program_id(0)
    c = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    known = c < channels
    p = tl.arange(0, PROGRAMS)
    counts = tl.minimum(tl.maximum(rows - p * tiles * ROWS, 0), tiles * ROWS).to(tl.float32)
    places = p[:, None] * channels + c[None, :]
    used = (counts > 0)[:, None] & known[None, :]
    each = tl.load(means + places, mask=used, other=0.0)
    mean = tl.sum(each * counts[:, None], 0) / rows
    away = each - mean[None, :]
    square = tl.sum(tl.load(squares + places, mask=used, other=0.0) + away * away * counts[:, None], 0)
    scale = 1.0 / tl.sqrt(square / rows + eps)
    if program == 0:
        tl.store(mean_kept + c, mean, mask=known)
        tl.store(scale_kept + c, scale, mask=known)
        before = tl.load(running_mean + c, mask=known)
        tl.store(running_mean + c, (1 - momentum) * before + momentum * mean, mask=known)
        before = tl.load(running_var + c, mask=known)
        tl.store(running_var + c, (1 - momentum) * before + momentum * (square / (rows - 1)), mask=known)
    gamma, beta = tl.load(weight + c, mask=known), tl.load(bias + c, mask=known)
    for tile in range(tiles):
        r = (program * tiles + tile) * ROWS + tl.arange(0, ROWS)
        there = (r < rows)[:, None] & known[None, :]
        place = r[:, None].to(tl.int64) * channels + c[None, :]
        values = tl.load(x + place, mask=there, other=0.0).to(tl.float32)
        found = gamma[None, :] * (values - mean[None, :]) * scale[None, :] + beta[None, :]
        if RELU:
            found = tl.where(found > 0, found, tl.where(found <= 0, 0.0, found))  # what is not a number stays so
        tl.store(out + place, found.to(out.dtype.element_ty), mask=there)


@triton.jit(do_not_specialize=["rows", "tiles"])
def gradient_sums(
    x, out, gradient, mean_kept, sums, products, rows, channels, tiles,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    """Each program's sums of the gradient, and of the gradient times the deviation from the mean, (programs, C)."""
    program = tl.program_id(0)
    c = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    mean = tl.load(mean_kept + c, mask=c < channels, other=0.0)
    first, second = tl.zeros([WIDTH], tl.float32), tl.zeros([WIDTH], tl.float32)
    for tile in range(tiles):
        r = (program * tiles + tile) * ROWS + tl.arange(0, ROWS)
        there = (r < rows)[:, None] & (c < channels)[None, :]
        place = r[:, None].to(tl.int64) * channels + c[None, :]
        slope = tl.load(gradient + place, mask=there, other=0.0).to(tl.float32)
        if RELU:
            slope = tl.where(tl.load(out + place, mask=there, other=0.0).to(tl.float32) <= 0, 0.0, slope)
        away = tl.where(there, tl.load(x + place, mask=there, other=0.0).to(tl.float32) - mean[None, :], 0.0)
        first += tl.sum(slope, 0)
        second += tl.sum(slope * away, 0)
    tl.store(sums + program * channels + c, first, mask=c < channels)
    tl.store(products + program * channels + c, second, mask=c < channels)


@triton.jit(do_not_specialize=["rows", "tiles"])
def gradients(
    x, out, gradient, weight, mean_kept, scale_kept, sums, products, to_x, to_weight, to_bias, rows, channels, tiles,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, PROGRAMS: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    """The gradients of the input, of gamma and of beta."""
    program = tl.program_id(0)
    c = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    known = c < channels
    p = tl.arange(0, PROGRAMS)
    used = (p * tiles * ROWS < rows)[:, None] & known[None, :]
    first = tl.sum(tl.load(sums + p[:, None] * channels + c[None, :], mask=used, other=0.0), 0)
    second = tl.sum(tl.load(products + p[:, None] * channels + c[None, :], mask=used, other=0.0), 0)
    mean, scale = tl.load(mean_kept + c, mask=known, other=0.0), tl.load(scale_kept + c, mask=known, other=0.0)
    gamma = tl.load(weight + c, mask=known, other=0.0)
    if program == 0:
        tl.store(to_bias + c, first, mask=known)
        tl.store(to_weight + c, second * scale, mask=known)
    shift, slant = first / rows, scale * scale * second / rows
    for tile in range(tiles):
        r = (program * tiles + tile) * ROWS + tl.arange(0, ROWS)
        there = (r < rows)[:, None] & known[None, :]
        place = r[:, None].to(tl.int64) * channels + c[None, :]
        slope = tl.load(gradient + place, mask=there, other=0.0).to(tl.float32)
        if RELU:
            slope = tl.where(tl.load(out + place, mask=there, other=0.0).to(tl.float32) <= 0, 0.0, slope)
        away = tl.load(x + place, mask=there, other=0.0).to(tl.float32) - mean[None, :]
        found = (slope - shift[None, :] - away * slant[None, :]) * (scale * gamma)[None, :]
        tl.store(to_x + place, found.to(to_x.dtype.element_ty), mask=there)
