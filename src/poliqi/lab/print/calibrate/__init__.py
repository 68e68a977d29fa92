"""Calibration: arrays of lines to print and measure, and the focus and threshold that their widths tell."""
