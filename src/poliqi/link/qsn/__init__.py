"""The QSN-d-1 of Politecnico di Milano: frames, messages, a client's side, a device's (docs/spec/qsn-d-1.md)."""
