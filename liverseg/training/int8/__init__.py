"""The trained networks in 8-bit integers, for the fast engine.

network       the ResUNet with a third less arithmetic, over abstract operations
ranges        computes it and notes what every result is like
graph         writes it as an ONNX graph;  quantize: the command
"""
