"""Finished keys of other people's devices: how two ends agree on blocks of them (docs/spec/key-devices.md)."""
