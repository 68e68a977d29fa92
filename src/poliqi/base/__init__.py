"""Words everyone shares: ids, units, errors, secret bytes, packed bits, compiled kernels."""
