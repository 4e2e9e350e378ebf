"""What a person uploads, read within bounds: a scan, and a ground truth on its grid.

upload        the two entries, `read_scan` and `read_truth`
workers       the same two in processes of their own, which worker_process is
process_limits  what the system lets a process have
archive       the files of an upload, also inside zips; limits says how much that may be, and budget
              counts
filetype      what a file is, by its first bytes
dicom/        CT series, masks, SEG and RTSTRUCT
volume_file   files of one volume, whose headers nifti, nrrd, metaimage and mgh parse into what
              stored describes; detached: voxels in another file of the upload
pictures      slices as PNG, JPEG, and TIFF, whose pages and calibration tiff finds
picture_stacks  which pictures are slices of one scan, or masks;  file_names: what names say
choice        what a person has to say, and the answers
hounsfield    stored values to HU;  geometry: slices to one grid in space
truth         label maps and picture masks;  picture_masks: what grays and colors mean;
              alignment: masks onto the scan's grid;  mask_order: those without a place
left_out      what could not be used, in words;  structure_names: liver, tumor, or neither;
              segments: the same of files that name their segments
"""
