"""Arteries and veins joined by capillaries into one network that can be perfused."""
