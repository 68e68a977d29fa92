"""Devices that hand out finished keys, each in one file behind `poliqi.link.keydevice.KeyDevice`."""
