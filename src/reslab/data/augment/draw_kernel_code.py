"""The kernel of draw_kernel.py; Triton is imported here only."""

import triton
import triton.language as tl


@triton.jit
def uniform_kernel(index, key, found, count, SIZE: tl.constexpr):
    """rng.uniform: splitmix64's finaliser of index * golden + key, its upper 53 bits over 2**53."""
    place = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    there = place < count
    x = tl.load(index + place, mask=there, other=0).to(tl.uint64, bitcast=True) * 0x9E3779B97F4A7C15
    x += tl.load(key).to(tl.uint64, bitcast=True)
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    x = x ^ (x >> 31)
    tl.store(found + place, (x >> 11).to(tl.int64).to(tl.float64) * 1.1102230246251565e-16, mask=there)  # 2**-53
