"""Files to start a prototype from, printed by --example. Their numbers are examples and nobody's data."""

from __future__ import annotations

from typing import Final

__all__ = ["EXAMPLES"]

_COIN: Final = """\
# A coin cell to start from. Every number is an example: put in what your materials and your bench have.
# Amounts have a unit and may have a doubt (one standard deviation): "12.0(2) mg/cm2", "12.0 +- 0.2 mg/cm2".

kind = "coin"
name = "NMC811 against graphite, CR2032"
voltage = "3.70(5) V"
cells = 20
loss = 0.15

[positive]
active = "NMC811"
active_share = 0.96
capacity = "195(2) mAh/g"
first_charge = "220(2) mAh/g"
loading = "12.0(2) mg/cm2"
porosity = 0.32
thickness_sigma = "1 um"
diameter = "15.00(2) mm"
collector = "aluminium"
collector_thickness = "16.0(5) um"
solvent = "NMP"
solids_share = 0.60
additives = { "carbon black" = 0.02, PVDF = 0.02 }

[negative]
active = "graphite"
active_share = 0.95
capacity = "350(3) mAh/g"
first_charge = "378(4) mAh/g"
np_ratio = 1.12
loading_sigma = "0.1 mg/cm2"
porosity = 0.34
thickness_sigma = "1 um"
diameter = "16.00(2) mm"
collector = "copper"
collector_thickness = "10.0(5) um"
solvent = "water"
solids_share = 0.48
additives = { "carbon black" = 0.01, CMC = 0.02, SBR = 0.02 }

[separator]
material = "polypropylene"
thickness = "25(1) um"
porosity = 0.41
diameter = "19.0(1) mm"

[electrolyte]
material = "1 M LiPF6 in EC:EMC"
excess = 3.0

[[part]]
name = "case and cap"
material = "stainless steel 316L"
mass = "2.10(2) g"

[[part]]
name = "spacer 0.5 mm"
material = "stainless steel 316L"
count = 2
mass = "0.80(1) g"

[material.NMC811]
formula = "LiNi0.8Mn0.1Co0.1O2"
density = "4.78(2) g/cm3"
phase = "NMC811"
formula_units = 3

[material.graphite]
formula = "C"
density = "2.26(1) g/cm3"
raw_materials = ["graphite"]

[material."carbon black"]
formula = "C"
density = "1.9 g/cm3"
raw_materials = []

[material.PVDF]
formula = "C2H2F2"
density = "1.77 g/cm3"

[material.CMC]
density = "1.6 g/cm3"
raw_materials = []

[material.SBR]
density = "1.0 g/cm3"
raw_materials = []

[material.aluminium]
formula = "Al"
density = "2.70 g/cm3"

[material.copper]
formula = "Cu"
density = "8.96 g/cm3"

[material.polypropylene]
formula = "C3H6"
density = "0.90 g/cm3"

[material."1 M LiPF6 in EC:EMC"]
density = "1.20(1) g/mL"
raw_materials = ["lithium", "fluorspar", "phosphorus"]

[material."stainless steel 316L"]
raw_materials = ["nickel", "manganese"]
"""
_POUCH: Final = """\
# A pouch cell to start from. Every number is an example: put in what your materials and your bench have.

kind = "pouch"
name = "LFP against graphite, 10 layers"
voltage = "3.20(2) V"
layers = 10
cells = 5
loss = 0.10

[positive]
active = "LiFePO4"
active_share = 0.95
additives = { "carbon black" = 0.02, PVDF = 0.03 }
capacity = "158(2) mAh/g"
first_charge = "161(2) mAh/g"
areal_capacity = "2.5 mAh/cm2"
loading_sigma = "0.2 mg/cm2"
porosity = 0.30
thickness_sigma = "2 um"
width = "50.0(2) mm"
height = "80.0(2) mm"
collector = "aluminium"
collector_thickness = "15.0(5) um"

[negative]
active = "graphite"
active_share = 0.96
additives = { CMC = 0.02, SBR = 0.02 }
capacity = "350(3) mAh/g"
first_charge = "378(4) mAh/g"
np_ratio = 1.10
loading_sigma = "0.1 mg/cm2"
porosity = 0.33
thickness_sigma = "2 um"
overhang = "1.0(2) mm"
collector = "copper"
collector_thickness = "10.0(5) um"

[separator]
material = "polyethylene"
thickness = "16.0(5) um"
porosity = 0.42
overhang = "1.0(2) mm"

[electrolyte]
material = "1 M LiPF6 in EC:DMC"
per_capacity = "3.0(1) g/Ah"

[[part]]
name = "pouch foil"
material = "aluminium laminate"
mass = "6.0(1) g"

[[part]]
name = "tab, positive"
material = "aluminium"
mass = "0.30(1) g"

[[part]]
name = "tab, negative"
material = "nickel"
mass = "0.80(1) g"

[material.LiFePO4]
formula = "LiFePO4"
density = "3.60(2) g/cm3"
phase = "LiFePO4"
formula_units = 4

[material.graphite]
formula = "C"
density = "2.26(1) g/cm3"
raw_materials = ["graphite"]

[material."carbon black"]
formula = "C"
density = "1.9 g/cm3"
raw_materials = []

[material.PVDF]
formula = "C2H2F2"
density = "1.77 g/cm3"

[material.CMC]
density = "1.6 g/cm3"
raw_materials = []

[material.SBR]
density = "1.0 g/cm3"
raw_materials = []

[material.aluminium]
formula = "Al"
density = "2.70 g/cm3"

[material.copper]
formula = "Cu"
density = "8.96 g/cm3"

[material.nickel]
formula = "Ni"

[material.polyethylene]
formula = "C2H4"
density = "0.94 g/cm3"

[material."1 M LiPF6 in EC:DMC"]
density = "1.28(1) g/mL"
raw_materials = ["lithium", "fluorspar", "phosphorus"]

[material."aluminium laminate"]
raw_materials = ["bauxite/alumina/aluminium"]
"""
_FUEL_CELL: Final = """\
# A single PEM fuel cell to start from. Every number is an example: put in what your materials and your bench have.

kind = "fuel-cell"
name = "25 cm2 single cell"
width = "50.0(2) mm"
height = "50.0(2) mm"
cells = 2
loss = 0.30

[cathode]
metal = "platinum"
loading = "0.40(2) mg/cm2"
metal_share = 0.46
support = "carbon support"
ionomer = "ionomer"
ionomer_to_support = "0.80(5)"
surface = "60(4) m2/g"
solvent = "water and 1-propanol"
solids_share = 0.02

[anode]
metal = "platinum"
loading = "0.10(1) mg/cm2"
metal_share = 0.20
support = "carbon support"
ionomer = "ionomer"
ionomer_to_support = "0.80(5)"
solvent = "water and 1-propanol"
solids_share = 0.02

[membrane]
material = "PFSA membrane"
thickness = "15(1) um"
overhang = "15 mm"

[diffusion]
material = "carbon paper"
areal_mass = "90(3) g/m2"

[operation]
voltage = "0.65 V"
reference_voltage = "0.90 V"
tafel_slope = "70(2) mV/decade"
resistance = "70(5) mohm cm2"
specific_activity = "200(20) uA/cm2"
hydrogen_stoichiometry = 1.5
air_stoichiometry = 2.0

[[part]]
name = "flow field plate"
material = "graphite plate"
count = 2
mass = "180(1) g"

[material.platinum]
formula = "Pt"
density = "21.45(1) g/cm3"
phase = "Pt"
formula_units = 4

[material."carbon support"]
formula = "C"
raw_materials = []

[material.ionomer]
raw_materials = ["fluorspar"]

[material."PFSA membrane"]
density = "1.97(2) g/cm3"
raw_materials = ["fluorspar"]

[material."carbon paper"]
formula = "C"
raw_materials = []

[material."graphite plate"]
formula = "C"
raw_materials = ["graphite"]
"""
EXAMPLES: Final = {"coin": _COIN, "pouch": _POUCH, "fuel-cell": _FUEL_CELL}
"""By kind."""
