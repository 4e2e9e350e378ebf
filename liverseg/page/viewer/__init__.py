"""The CT viewer of the page: a canvas in the browser, fed by Python with a little JSON and files.

    for value in pack_scan_steps(volume, folder):     # shows the middle slice, then the scan
    value = pack_preview(value, step, folder=folder)  # for each Step with labels: masks appear
    value = pack_masks(value, prediction, truth, thresholds, folder=folder)
    value = pack_result(value, findings, thresholds, folder=folder)   # with numbers

The folder is one of its own for each scan, inside the one that Gradio serves. Each call returns
a new value for a `LiverViewer`; the browser fetches only the files that are new.
Scrolling, thresholds and teaching then need no server. Keep the value on the server where the next
call needs it: what comes back from a browser is not to be trusted with paths.

The page may steer the viewer with a DOM event on the document, `lv:goto` with the slice (from 0)
as detail, and follow it with `lv:slice`, sent whenever the slice changes and in answer to
`lv:where`.
"""
