"""What a person uploads, read within bounds: a scan, and a ground truth on its grid.

upload        the two entries, `read_scan` and `read_truth`
workers       the same two in processes of their own, which worker_process is
archive       the files of an upload, also inside zips; limits says how much that may be, and budget
              counts
filetype      what a file is, by its first bytes
dicom/        CT series, masks and SEG;  nifti, pictures: the other formats
picture_stacks  which pictures are slices of one scan, or masks;  file_names: what names say
choice        what a person has to say, and the answers
hounsfield    stored values to HU;  geometry: slices to one grid in space
truth         NIfTI and picture masks;  picture_masks: what grays and colors mean;
              alignment: masks onto the scan's grid;  mask_order: those without a place
left_out      what could not be used, in words;  structure_names: liver, tumor, or neither
"""
