"""DICOM: from bytes to a scan and to masks.

file        one file parsed within bounds
kind        what a file is, or is not
slice       a CT slice's header as checked values; frames of enhanced CT
series      which slices make a scan, and which scan is meant
pixels      stored values, decoded within bounds; codestream looks before decoding,
            decoder and decoder_process decode in a process that may crash
scan        one series as a Volume
masks, seg  ground truth
"""
