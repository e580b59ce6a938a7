"""A renderer of scenes like CLEVR's: coloured solids on a pale floor, deterministic bit for bit.

Scenes, camera, lamps and colours are those of CLEVR (Johnson et al. 2017), which Blender rendered; here an analytic ray
caster in numpy stands in for it. Every number comes from elementwise float32 +, −, ×, ÷ and √, from comparisons and from
look-ups, which IEEE 754 leaves no choice of rounding for: no sums over an axis, no BLAS, no functions of the C library, no
random numbers but `random.random()`. So a seed gives the same bytes on every machine.
"""
