"""Nanostructure by X-rays: calibration, reduction of frames, small-angle scattering and diffraction."""
