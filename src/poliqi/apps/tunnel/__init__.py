"""Any application over encrypted streams: TCP connections without root, or whole networks by a TUN device."""
