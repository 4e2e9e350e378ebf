"""A Volume to its Segmentation: the two networks one after the other.

cascade       `segment` and `segment_steps`
preprocess    slices to network input and back;  postprocess: one liver, no doubtful tumors
engine        runs the networks: Keras, or faster ONNX
recipe        what the networks were trained with;  weights: their files;  hub: their download
"""
