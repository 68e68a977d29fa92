"""Plans as people write them."""

from __future__ import annotations

PLAN = """
title = "Batch 7"
start = "2027-01-11 08:00"
margin_percent = 10

[[protocol]]
name = "formation"
repeat = 2
steps = [
  { do = "charge", c_rate = 0.5, until_v = 4.2 },
  { do = "hold", hours = 1, voltage_v = 4.2 },
  { do = "discharge", current_a = 0.002, until_v = 2.8 },
]

[[protocol]]
name = "ageing"
temperature_c = 45

[[protocol.block]]
repeat = 10
steps = [{ do = "charge", c_rate = 1 }, { do = "discharge", c_rate = 1 }]

[[protocol.block]]
steps = [
  { do = "rest", hours = 2 },
  { do = "eis", from_hz = 1000, to_hz = 1, points_per_decade = 1, periods = 100 },
]

[[chamber]]
name = "oven"
low_c = 20
high_c = 60
change_minutes = 30

[[channels]]
name = "cycler"
count = 2
most_a = 0.05
low_v = 0
high_v = 5
changeover_minutes = 10
maintenance = [{ from = "2027-01-12 08:00", to = "2027-01-12 12:00", channel = 2 }]

[[channels]]
name = "potentiostat"
most_a = 0.5
low_v = -10
high_v = 10
impedance = true
chamber = "oven"
instrument = "vmp3"

[[cells]]
name = "A"
count = 3
capacity_ah = 0.004
protocols = ["formation", "ageing"]
deadline = "2027-01-20 18:00"

[[cells]]
name = "spare"
capacity_ah = 0.004
protocols = ["formation"]
priority = 2
channels = ["cycler"]
"""
