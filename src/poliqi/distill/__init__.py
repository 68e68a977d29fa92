"""Detections to secret blocks, without IO."""
