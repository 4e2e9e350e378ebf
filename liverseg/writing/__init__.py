"""Files to take away: labels, tables, the report. None holds header text, but the DICOM SEG."""
