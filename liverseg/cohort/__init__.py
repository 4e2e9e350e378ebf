"""Many studies: find them, run each in a process that may fail alone, and report on all.

The disk is the state. `studies` finds them in a tree, `keys` names each by its content, `study`
does all of one and writes it beside and renames it (`store`), `process` keeps that within its time
and memory, `engines` does many at once, `run` joins these, and `gather`, `outliers` and `report`
tell what became of them.
"""
