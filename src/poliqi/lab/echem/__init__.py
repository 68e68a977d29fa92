"""Electrochemistry: batteries, hydrogen fuel cells, electrolysers.

Signs: a current that charges a cell is positive, and an electrolyser takes what a fuel cell gives.
"""
